"""Options of a study."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeexit.paper.consistency.reconstruction import FitSettings


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
