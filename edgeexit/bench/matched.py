"""The chain at the accuracy of another model: which of them is faster there."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MatchedAccuracy"]


@dataclass(frozen=True, slots=True)
class MatchedAccuracy:
    """The chain at thresholds that were chosen to be as accurate as another model.

    Thresholds are chosen on one half of the images and judged on the other.

    Attributes:
        versus: name of the other model's alternative.
        choosing, judging: number of images in each half.
        target_accuracy: of the other model on the choosing half.
        best_accuracy: the most that any thresholds reach there.
        thresholds: the cheapest that reach the target there; None where none do, and all below is
            None then but what is of the other model.
        accuracy, mean_ms: of the chain at these thresholds on the judging half.
        versus_accuracy, versus_mean_ms: of the other model on the judging half.
    """

    versus: str
    choosing: int
    judging: int
    target_accuracy: float
    best_accuracy: float
    thresholds: dict[str, float] | None
    accuracy: float | None
    mean_ms: float | None
    versus_accuracy: float
    versus_mean_ms: float

    @property
    def ratio(self) -> float | None:
        """The chain's mean over the other model's on the judging half."""
        return None if self.mean_ms is None else self.mean_ms / self.versus_mean_ms
