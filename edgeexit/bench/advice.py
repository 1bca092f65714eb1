"""Which exits to keep, and which thresholds, by the times that were measured in this run."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Advice", "Choice"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Thresholds, and what they give on the half of the images that they were not chosen on.

    Attributes:
        name: who chose them.
        thresholds: by the exit's name; :data:`edgeexit_runtime.gate.NEVER` switches one off.
        switched_off: exits where nobody leaves.
        accuracy, accuracy_low, accuracy_high: a fraction, and its 95 % bootstrap interval.
        average_ms, average_low_ms, average_high_ms: of a sample by the measured paths, likewise.
        p99_ms: 99 of 100 samples take no longer, by the measured calls of the paths they take.
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
    p99_ms: float
    macs_ratio: float


@dataclass(frozen=True, slots=True)
class Advice:
    """Three choices of thresholds beside each other and the plain backbone.

    Attributes:
        target_accuracy: that the choices had to reach on the images they were made on.
        chosen_on, judged_on: numbers of images.
        plain_ms: of the plain backbone, the median.
        by_latency: the lowest average time; the advice.
        by_eq5: the lowest average MACs.
        now: the bundle's thresholds.
        gain_ms: what a sample takes less by the advice than now, on average; with its 95 %
            interval.
        gain_over_eq5_ms: likewise, less than by Eq. 5's choice.
        command: that applies the advice; None where there is nothing to gain.
    """

    target_accuracy: float
    chosen_on: int
    judged_on: int
    plain_ms: float
    by_latency: Choice
    by_eq5: Choice
    now: Choice
    gain_ms: tuple[float, float, float]
    gain_over_eq5_ms: tuple[float, float, float]
    command: str | None
