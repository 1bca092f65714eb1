"""Drift of a device's speed, from the times of a constant workload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit.statistics.bootstrap import Statistic

THIRDS, SEGMENTS = 3, 5
MIN_CALLS = 5  # in each third
DRIFT = 1.1  # on an idle device, the medians of the thirds differ by less


@dataclass(frozen=True, slots=True)
class Drift:
    """The baseline's medians in the first, second and last third of one measurement.

    Attributes:
        measurement: ``paths`` or ``mixture``.
        medians_ms: three, in order of time.
    """

    measurement: str
    medians_ms: tuple[float, float, float]

    def __post_init__(self) -> None:
        if min(self.medians_ms) <= 0:
            raise ValueError(f"medians_ms: expected values above 0, got {self.medians_ms}")

    @property
    def ratio(self) -> float:
        """The slowest third over the fastest."""
        return max(self.medians_ms) / min(self.medians_ms)

    @property
    def drifted(self) -> bool:
        """Whether the thirds differ by more than :data:`DRIFT`."""
        return self.ratio > DRIFT


def find_drift(measurement: str, times_ms: Sequence[float]) -> Drift | None:
    """Compare the thirds of a measurement.

    Args:
        times_ms: times of the baseline's calls, in the order in which they were made.

    Returns:
        The medians; None if a third has fewer than 5 calls.
    """
    if len(times_ms) < THIRDS * MIN_CALLS:
        return None
    first, second, last = (float(np.median(part)) for part in np.array_split(times_ms, THIRDS))
    return Drift(measurement, (first, second, last))


def drift_between_fifths(times: NDArray[np.float64], statistic: Statistic) -> float:
    """Return how much slower the slowest fifth of a run is than its fastest fifth, 0.1 for 10 %.

    Args:
        times: (calls,) of a constant workload, in order of time.
    """
    if len(times) < SEGMENTS:
        return 0.0
    values = [float(statistic(part[None])[0]) for part in np.array_split(times, SEGMENTS)]
    return max(values) / min(values) - 1
