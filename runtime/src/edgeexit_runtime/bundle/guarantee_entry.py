"""The manifest's entry of a statistical guarantee for a network's thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeexit_runtime.bundle.schema import check_text
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
        if self.risk not in RISKS:
            raise ValueError(f"risk: expected one of {', '.join(RISKS)}, got {self.risk!r}")
        for what, value in (("target", self.target), ("confidence", self.confidence)):
            if not 0 < value < 1:
                raise ValueError(f"{what}: expected above 0 and below 1, got {value}")
        if self.images < 1:
            raise ValueError(f"images: expected 1 or more, got {self.images}")
        if not -1 <= self.observed <= 1:
            raise ValueError(f"observed: expected -1 to 1, got {self.observed}")
        check_text("data", self.data)
        if not all(0 <= value <= NEVER for value in self.thresholds.values()):
            raise ValueError(f"thresholds: expected 0 to {NEVER}, got {self.thresholds}")

    def check_exits(self, exit_names: tuple[str, ...]) -> None:
        """Raise :class:`ValueError` unless the exits are these, ``final`` last."""
        if set(self.thresholds) != set(exit_names[:-1]):
            raise ValueError(
                f"guarantee.thresholds: expected one for each of {list(exit_names[:-1])}, got "
                f"{list(self.thresholds)}"
            )

    def holds_for(self, thresholds: Mapping[str, float]) -> bool:
        """Whether the guarantee is for these thresholds."""
        return self.thresholds == thresholds
