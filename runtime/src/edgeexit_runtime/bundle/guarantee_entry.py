"""The manifest's entry of a statistical guarantee for a network's thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeexit_runtime.bundle.schema import check_choice, check_positive, check_range, check_text
from edgeexit_runtime.gate import NEVER

DROP, ERROR, DISAGREEMENT = "drop", "error", "disagreement"
RISKS = (DROP, ERROR, DISAGREEMENT)
"""Accuracy lost against the last exit; wrong answers; answers that differ from the last exit's."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """The risk at these thresholds, on images of one source, is at most ``target``.

    This holds with probability ``confidence`` over the draw of the images that it was tested on.

    Attributes:
        risk: one of :data:`RISKS`.
        target: a fraction of all images, above 0 and below 1.
        confidence: above 0 and below 1.
        images: number of images that it was tested on; thresholds were chosen on others.
        observed: the risk on these; a drop is below 0 if leaving early gains accuracy.
        data: where the images came from.
        thresholds: of every exit but the last; the guarantee holds for no others.
    """

    risk: str
    target: float
    confidence: float
    images: int
    observed: float
    data: str
    thresholds: dict[str, float]

    def __post_init__(self) -> None:
        check_choice("risk", self.risk, RISKS)
        for what, value in (("target", self.target), ("confidence", self.confidence)):
            if not 0 < value < 1:
                raise ValueError(f"{what}: expected above 0 and below 1, got {value}")
        check_positive("images", self.images)
        check_range("observed", self.observed, -1, 1)
        check_text("data", self.data)
        for name, value in self.thresholds.items():
            check_range(f"thresholds.{name}", value, 0, NEVER)

    def holds_for(self, thresholds: Mapping[str, float]) -> bool:
        """Whether the guarantee is for these thresholds."""
        return self.thresholds == thresholds
