"""What a training run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeexit.training.record.metrics import EpochRecord, best_record
from edgeexit.training.settings.config import TrainConfig


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a run left behind.

    Attributes:
        checkpoint: the best epoch's file, by mean validation accuracy over all exits.
        last: the last epoch's file, with what resuming needs.
        config: resolved.
        history: every epoch.
        finished_before: nothing was done, because the run was already finished.
    """

    checkpoint: Path
    last: Path
    config: TrainConfig
    history: tuple[EpochRecord, ...]
    finished_before: bool

    @property
    def best(self) -> EpochRecord:
        """The epoch that ``checkpoint`` holds."""
        return best_record(self.history)
