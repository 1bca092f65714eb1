"""What one epoch achieved: a line of ``metrics.jsonl``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch.

    Attributes:
        epoch: counted from 1.
        loss: mean over the epoch's training images.
        lr: the rate at the epoch's first step.
        accuracy: share of the validation images that each exit labels correctly, by exit.
        teacher_accuracy: the same of the teacher; None without one.
        samples_per_second: training images per second, validation left out.
        phase: the phase of the strategy that the epoch belongs to.
        data_wait_share: share of the training time in which the next images were not there yet.
    """

    epoch: int
    loss: float
    lr: float
    accuracy: dict[str, float]
    teacher_accuracy: float | None
    samples_per_second: float
    phase: str = ""
    data_wait_share: float = 0.0

    @property
    def mean_accuracy(self) -> float:
        """Validation accuracy averaged over all exits: what chooses the best epoch."""
        return math.fsum(self.accuracy.values()) / len(self.accuracy)


def best_record(history: Sequence[EpochRecord]) -> EpochRecord:
    """Return the epoch of the highest mean accuracy, of equal ones the latest.

    Only the phase that ran last counts: before it, exits were still untrained.
    """
    last = [record for record in history if record.phase == history[-1].phase]
    return max(last, key=lambda record: (record.mean_accuracy, record.epoch))
