"""Which exits to keep, and which thresholds, by the times that were measured: as data, in words."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.bench.block_bootstrap import BREAK_EVEN

__all__ = ["Advice", "Choice", "Gain", "advice_words"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Thresholds, and what they give on the half of the images that they were not chosen on.

    Attributes:
        name: who chose them.
        thresholds: by the exit's name; :data:`edgeexit_runtime.gate.NEVER` switches one off.
        switched_off: exits where nobody leaves, whose branches are not run.
        accuracy, accuracy_low, accuracy_high: a fraction, and its 95 % bootstrap interval.
        average_ms, average_low_ms, average_high_ms: of a sample by the paths' medians, likewise.
        p99_ms: 99 of 100 samples take no longer, by the calls of the paths that they take; None
            where these were too few.
        macs_ratio: Eq. 5's average over the plain backbone's MACs.
    """

    name: str
    thresholds: dict[str, float]
    switched_off: tuple[str, ...]
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    average_ms: float
    average_low_ms: float
    average_high_ms: float
    p99_ms: float | None
    macs_ratio: float


@dataclass(frozen=True, slots=True)
class Gain:
    """What a sample takes less by the advice than by another choice, on average.

    Attributes:
        ms, low_ms, high_ms: with its 95 % interval, sample by sample; below 0 where it takes more.
        share: of the other choice's average.
    """

    ms: float
    low_ms: float
    high_ms: float
    share: float

    @property
    def is_none(self) -> bool:
        """Whether it is within what two runs, or other images, would differ by."""
        return self.low_ms <= 0 <= self.high_ms or abs(self.share) < BREAK_EVEN

    def __str__(self) -> str:
        if self.is_none:
            found = f"{-self.ms:+.3g} ms" if self.ms else "the same time"
            return f"no difference beyond the noise ({found})"
        percent = f"{abs(self.share):.0%} {'less' if self.ms > 0 else 'more'}"
        interval = f"{-self.high_ms:+.3g} to {-self.low_ms:+.3g} ms"
        return f"{-self.ms:+.3g} ms ({interval}), {percent}"


@dataclass(frozen=True, slots=True)
class Advice:
    """Three choices of thresholds beside each other and the plain backbone.

    Attributes:
        target_accuracy: that the choices had to reach on the images that they were made on: the
            bundle's there, at its own thresholds.
        chosen_on, judged_on: numbers of images.
        plain_ms: of the plain backbone, the median.
        plain_accuracy: of the last exit over all images judged on.
        by_latency: the lowest average time; the advice.
        by_eq5: the lowest average MACs.
        now: the bundle's thresholds.
        over_now, over_eq5, over_plain: gains of the advice.
        command: that chooses so and writes it into the bundle.
    """

    target_accuracy: float
    chosen_on: int
    judged_on: int
    plain_ms: float
    plain_accuracy: float
    by_latency: Choice
    by_eq5: Choice
    now: Choice
    over_now: Gain
    over_eq5: Gain
    over_plain: Gain
    command: str

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The advice, Eq. 5's choice, and what stands in the bundle."""
        return self.by_latency, self.by_eq5, self.now


def advice_words(advice: Advice) -> list[str]:
    """Return what to do, a sentence each."""
    best, now = advice.by_latency, advice.now
    p99 = "" if best.p99_ms is None else f", p99 {best.p99_ms:.3g} ms"
    words = [
        f"{_exits_words(best)} An image then takes {best.average_ms:.3g} ms on average{p99}, at an "
        f"accuracy of {best.accuracy:.4f} [{best.accuracy_low:.4f}, {best.accuracy_high:.4f}], now "
        f"{now.accuracy:.4f}.",
        f"Against the bundle's thresholds: {advice.over_now}.",
        f"Against Eq. 5's choice: {advice.over_eq5}.",
        f"Against the plain backbone: {advice.over_plain}.",
    ]
    if advice.over_now.is_none or advice.over_now.ms < 0:
        words.insert(0, "Leave the bundle's thresholds: the best that were found gain nothing.")
    elif best.accuracy_high < now.accuracy:
        words.append(
            f"But on these images it is less accurate than now ({now.accuracy:.4f}): choose with "
            "more images."
        )
    else:
        words.append(f"To choose so, by its validation images, and apply it: {advice.command}")
    return words


def _exits_words(choice: Choice) -> str:
    kept = " and ".join(name for name in choice.thresholds if name not in choice.switched_off)
    off = " and ".join(choice.switched_off)
    if not kept:
        return f"By measured latency: keep no exit; with {off} off every image goes all the way."
    if off:
        return f"By measured latency: keep {kept}, switch off {off}, where too few would leave."
    return f"By measured latency: keep {kept}."
