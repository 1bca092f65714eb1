"""Advice from measured times: which exits to keep, and at which thresholds."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.statistics import BREAK_EVEN, Interval


@dataclass(frozen=True, slots=True)
class Choice:
    """Thresholds, and their results on the test half of the images.

    Attributes:
        name: how they were chosen.
        thresholds: by exit name; :data:`edgeexit_runtime.gate.NEVER` switches an exit off.
        switched_off: exits that are switched off; their branches are not run.
        accuracy: a fraction.
        average_ms: of a sample, from the paths' medians.
        p99_ms: 99th percentile of a sample's time, from the calls of the paths taken; None with
            too few calls.
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
    """Average time that the advice saves per sample over another choice.

    Attributes:
        ms: mean difference per sample; negative if the advice takes longer.
        share: as a fraction of the other choice's average.
    """

    ms: Interval
    share: float

    @property
    def is_none(self) -> bool:
        """Whether it is within the variation between runs or between samples of images."""
        return self.ms.low <= 0 <= self.ms.high or abs(self.share) < BREAK_EVEN

    @property
    def is_worth_it(self) -> bool:
        """Whether the advice takes less time, beyond the variation between runs."""
        return self.ms.value > 0 and not self.is_none


@dataclass(frozen=True, slots=True)
class Advice:
    """Three choices of thresholds, compared with each other and with the baseline.

    Attributes:
        target_accuracy: that the choices had to reach on the validation half: the bundle's
            accuracy there, at its own thresholds.
        validation_images, test_images: numbers of images in the two halves.
        baseline_ms: the median.
        baseline_accuracy: of the last exit over the test half.
        by_latency: the lowest average time; the advice.
        by_eq5: the lowest average MACs.
        now: the bundle's thresholds.
        over_now, over_eq5, over_baseline: gains of the advice.
        command: that makes this choice and writes it into the bundle.
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
        """The advice, Eq. 5's choice, and the bundle's current thresholds."""
        return self.by_latency, self.by_eq5, self.now
