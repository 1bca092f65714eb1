"""The result of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeexit.training.record.metrics import EpochRecord, best_record
from edgeexit.training.settings.config import TrainConfig


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Result of a training run.

    Attributes:
        checkpoint: file of the best epoch, by mean validation accuracy over all exits.
        last: file of the last epoch, with the state to resume from.
        config: resolved.
        history: metrics of every epoch.
        finished_before: the run was already finished, and nothing was done.
    """

    checkpoint: Path
    last: Path
    config: TrainConfig
    history: tuple[EpochRecord, ...]
    finished_before: bool

    @property
    def best(self) -> EpochRecord:
        """Metrics of the epoch in ``checkpoint``."""
        return best_record(self.history)
