"""Whether the device kept its speed: the warm-up, and the plain backbone during the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["DRIFT", "Drift", "Steadiness", "WarmUp", "find_drift"]

THIRDS = 3
MIN_CALLS = 5  # in each third
DRIFT = 1.1  # the medians of a quiet device's thirds differ by less


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The untimed rounds before a measurement.

    Attributes:
        seconds: how long they took.
        rounds: how many they were.
        stable: whether the last two windows agreed; False where time was over before.
        window_medians_ms: of the rounds of each window.
    """

    seconds: float
    rounds: int
    stable: bool
    window_medians_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """The plain backbone's medians in the first, second and last third of one measurement.

    Attributes:
        measurement: ``paths`` or ``mixture``.
        medians_ms: three, in the order of time.
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


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What is known of the device's speed over the run.

    Attributes:
        warm_up: before the paths.
        drifts: of each measurement that was long enough to tell.
    """

    warm_up: WarmUp
    drifts: tuple[Drift, ...]


def find_drift(measurement: str, times_ms: Sequence[float]) -> Drift | None:
    """Compare the thirds of a measurement.

    Args:
        measurement: its name.
        times_ms: of the plain backbone's calls, in the order in which they were made.

    Returns:
        The medians; None where a third has fewer than 5 calls.
    """
    if len(times_ms) < THIRDS * MIN_CALLS:
        return None
    first, second, last = (float(np.median(part)) for part in np.array_split(times_ms, THIRDS))
    return Drift(measurement, (first, second, last))
