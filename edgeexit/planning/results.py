"""Results of planning: measured costs of exit paths, and the share of images that must leave."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.statistics import Interval


@dataclass(frozen=True, slots=True)
class ExitPlan:
    """One exit of a pattern.

    Attributes:
        name: name of the exit.
        path_ms: median time of an image that leaves there.
        ratio: that time over the plain backbone's median.
        macs_ratio: the same ratio by Eq. 5.
        break_even: the share of images that must leave there for early exit to take as long as the
            plain backbone, if all others leave at ``final``; None if no share suffices.
    """

    name: str
    path_ms: float
    ratio: Interval
    macs_ratio: float
    break_even: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate of early exit from the accuracy of each exit.

    It assumes that an exit labels correctly all images that an earlier one does, and that images
    leave at the first exit that labels them correctly. Images that no exit labels correctly leave
    at ``final``.

    Attributes:
        accuracy: accuracy of the best exit.
        shares: share of the images that leave at each exit.
        ratio: mean time over the plain backbone's.
        macs_ratio: the same ratio by Eq. 5.
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
        size_bytes: size of its graphs.
        baseline_ms: median time of the plain backbone.
        exits: in order, ``final`` last, which is the worst path.
        estimate: None if the accuracies are unknown.
        on_front: whether no other pattern dominates it, in accuracy and mean time of the estimate,
            or without estimates in the times to the first exit and to ``final``.
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
        backbone, input_size, precision: the same for all patterns.
        machine, cores, device, threads: the hardware and number of threads.
        patterns: best first, by the estimate's mean time, or without estimates by the share that
            must leave at the first exit.
    """

    backbone: str
    input_size: tuple[int, int, int]
    precision: str
    machine: str
    cores: int
    device: str
    threads: int | None
    patterns: tuple[PatternPlan, ...]
