"""What a caller hands to a study: its options, and a receiver of its progress."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeexit.paper.consistency.reconstruction import FitSettings
from edgeexit.paper.consistency.record import Fit


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """Options of a study.

    Attributes:
        depths: every N to fit.
        runs: number of fits of each network, stage and depth, with different random seeds.
        fit: settings of each fit.
        control: also fit the first network with its features shuffled across images.
        cache_bytes: memory for features; features that do not fit are recomputed in every epoch.
    """

    depths: tuple[int, ...] = (0, 1, 2, 3)
    runs: int = 3
    fit: FitSettings = field(default_factory=FitSettings)
    control: bool = False
    cache_bytes: float = 2 * 2**30

    def __post_init__(self) -> None:
        if not self.depths or min(self.depths) < 0 or len(set(self.depths)) < len(self.depths):
            raise ValueError(f"depths: expected different numbers from 0 on, got {self.depths}")
        if self.runs < 1:
            raise ValueError(f"runs: expected at least 1, got {self.runs}")
        if not self.cache_bytes >= 0:
            raise ValueError(f"cache_bytes: expected at least 0, got {self.cache_bytes}")


class StudyProgress:
    """Receives the progress of a study. This base class ignores it."""

    def remark(self, text: str) -> None:
        """Handle a line about the study."""

    def work(self, what: str, total: int) -> None:
        """Handle the start of some work: so many images, or steps of a fit."""

    def done(self, count: int) -> None:
        """Handle the number of them that are done."""

    def fits(self, done: int, total: int, last: Fit | None) -> None:
        """Handle the number of finished fits, with those of earlier runs, and the last fit."""
