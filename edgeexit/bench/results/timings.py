"""Timings of parts and exit paths, and the warm-up before them."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit_runtime.timing.calls import LatencySummary

from edgeexit.statistics import BREAK_EVEN

UNSTEADY = 1.5


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The untimed rounds before a measurement.

    Attributes:
        seconds: their duration.
        rounds: their number.
        stable: whether the last two windows agreed; False if time ran out first.
        window_medians_ms: median round of each window.
    """

    seconds: float
    rounds: int
    stable: bool
    window_medians_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PartTiming:
    """One part alone; ``kind`` is ``stage`` or ``branch``. ``times_ms`` has one time per call."""

    name: str
    kind: str
    macs: int
    latency: LatencySummary
    times_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.times_ms:
            raise ValueError("times_ms: expected one for each call, got none")


@dataclass(frozen=True, slots=True)
class PathTiming:
    """The whole path of a sample that is forced to leave at one exit, or the plain backbone.

    Attributes:
        path_macs: the bracket of Eq. 5 for this exit, MACs per sample.
        ratio: median over the plain backbone's median in the same rounds; 1 for the latter.
        macs_ratio: Eq. 5's prediction of it: path MACs over the plain backbone's.
        times_ms: of each call.
    """

    name: str
    path_macs: int
    ratio: float
    macs_ratio: float
    latency: LatencySummary
    times_ms: tuple[float, ...]

    @property
    def is_faster(self) -> bool:
        """Whether it is faster than the plain backbone, beyond the variation between runs."""
        return self.ratio < 1 - BREAK_EVEN

    @property
    def above_eq5(self) -> float:
        """By how much its ratio exceeds Eq. 5's, 0.1 for 10 %."""
        return self.ratio / self.macs_ratio - 1

    @property
    def spread(self) -> float:
        """p90 over the fastest call."""
        return self.latency.p90_ms / self.latency.min_ms

    @property
    def is_unsteady(self) -> bool:
        """Whether something else probably ran on the device, since all calls do the same work."""
        return self.spread >= UNSTEADY
