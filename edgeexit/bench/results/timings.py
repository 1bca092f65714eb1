"""What was timed one by one: parts, exit paths, and the warm-up before them."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit_runtime.timing.calls import LatencySummary


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
class PartTiming:
    """One stage or branch alone; ``kind`` is one of these two words. A time for each call."""

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
    """All that a sample goes through that leaves at one exit, forced to, or the plain backbone.

    Attributes:
        path_macs: the bracket of Eq. 5 for this exit, MACs per sample.
        ratio: median over the plain backbone's median in the same rounds.
        macs_ratio: what Eq. 5 says of it: path MACs over the plain backbone's.
        times_ms: of each call.
    """

    name: str
    path_macs: int
    ratio: float
    macs_ratio: float
    latency: LatencySummary
    times_ms: tuple[float, ...]
