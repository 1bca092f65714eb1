"""What exits cost on a device: measured paths, and what they ask of the images."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.statistics import Interval


@dataclass(frozen=True, slots=True)
class ExitPlan:
    """One exit of a pattern.

    Attributes:
        name: of the exit.
        path_ms: median of an image that leaves there.
        ratio: of that to the plain backbone's median.
        macs_ratio: what Eq. 5 says of it.
        break_even: the share of images that has to leave there for early exit to take as long as
            the plain backbone, if all others go to the end; None where no share does.
    """

    name: str
    path_ms: float
    ratio: Interval
    macs_ratio: float
    break_even: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What early exit would give, from the accuracy of each exit.

    Images leave at the first exit that labels them right, and an exit labels right all that an
    earlier one does: those that none does go to the end.

    Attributes:
        accuracy: of the best exit.
        shares: of the images that leave at each exit.
        ratio: mean time over the plain backbone's.
        macs_ratio: the same of Eq. 5.
    """

    accuracy: float
    shares: tuple[float, ...]
    ratio: Interval
    macs_ratio: float


@dataclass(frozen=True, slots=True)
class PatternPlan:
    """One pattern of branches.

    Attributes:
        branches: the pattern.
        size_bytes: of its graphs.
        baseline_ms: median of the plain backbone.
        exits: in order, ``final`` last: the worst path.
        estimate: None where the accuracies are not known.
        on_front: whether no other pattern is better in one thing and as good in the other: the
            estimate's accuracy and mean time, or else the times to the first exit and to the end.
    """

    branches: str
    size_bytes: int
    baseline_ms: float
    exits: tuple[ExitPlan, ...]
    estimate: Estimate | None
    on_front: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Patterns timed in one run.

    Attributes:
        backbone, input_size, precision: what they have in common.
        machine, cores, device, threads: what they ran on.
        patterns: the best first: by the estimate's mean time, or by the share that has to leave at
            the first exit.
    """

    backbone: str
    input_size: tuple[int, int, int]
    precision: str
    machine: str
    cores: int
    device: str
    threads: int | None
    patterns: tuple[PatternPlan, ...]
