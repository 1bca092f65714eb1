"""Which exits to keep, and which thresholds, by the times that were measured."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.statistics import BREAK_EVEN, Interval


@dataclass(frozen=True, slots=True)
class Choice:
    """Thresholds, and what they give on the half of the images that they were not chosen on.

    Attributes:
        name: who chose them.
        thresholds: by the exit's name; :data:`edgeexit_runtime.gate.NEVER` switches one off.
        switched_off: exits where nobody leaves, whose branches are not run.
        accuracy: a fraction.
        average_ms: of a sample by the paths' medians.
        p99_ms: 99 of 100 samples take no longer, by the calls of the paths that they take; None
            where these were too few.
        macs_ratio: Eq. 5's average over the baseline's MACs.
    """

    name: str
    thresholds: dict[str, float]
    switched_off: tuple[str, ...]
    accuracy: Interval
    average_ms: Interval
    p99_ms: float | None
    macs_ratio: float


@dataclass(frozen=True, slots=True)
class Gain:
    """What a sample takes less by the advice than by another choice, on average.

    Attributes:
        ms: sample by sample; below 0 where it takes more.
        share: of the other choice's average.
    """

    ms: Interval
    share: float

    @property
    def is_none(self) -> bool:
        """Whether it is within what two runs, or other images, would differ by."""
        return self.ms.low <= 0 <= self.ms.high or abs(self.share) < BREAK_EVEN

    @property
    def is_worth_it(self) -> bool:
        """Whether the advice takes less, beyond what runs differ by."""
        return self.ms.value > 0 and not self.is_none


@dataclass(frozen=True, slots=True)
class Advice:
    """Three choices of thresholds beside each other and the baseline.

    Attributes:
        target_accuracy: that the choices had to reach on the validation half: the bundle's there,
            at its own thresholds.
        validation_images, test_images: numbers of images that are chosen and judged on.
        baseline_ms: the median.
        baseline_accuracy: of the last exit over the test half.
        by_latency: the lowest average time; the advice.
        by_eq5: the lowest average MACs.
        now: the bundle's thresholds.
        over_now, over_eq5, over_baseline: gains of the advice.
        command: that chooses so and writes it into the bundle.
    """

    target_accuracy: float
    validation_images: int
    test_images: int
    baseline_ms: float
    baseline_accuracy: float
    by_latency: Choice
    by_eq5: Choice
    now: Choice
    over_now: Gain
    over_eq5: Gain
    over_baseline: Gain
    command: str

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The advice, Eq. 5's choice, and what stands in the bundle."""
        return self.by_latency, self.by_eq5, self.now
