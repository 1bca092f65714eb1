"""Metrics of an epoch: one line of ``metrics.jsonl``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Metrics of one epoch.

    Attributes:
        epoch: counted from 1.
        loss: mean over the epoch's training images.
        lr: learning rate of the epoch's first step.
        accuracy: validation accuracy per exit, 0 to 1.
        teacher_accuracy: validation accuracy of the teacher; None without one.
        samples_per_second: training images per second, without validation.
        phase: the strategy's phase that the epoch belongs to.
        data_wait_share: share of the training time spent waiting for images.
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
        """Mean validation accuracy over all exits, the criterion for the best epoch."""
        return math.fsum(self.accuracy.values()) / len(self.accuracy)


def best_record(history: Sequence[EpochRecord]) -> EpochRecord:
    """Return the epoch with the highest mean accuracy; the latest wins a tie.

    Only epochs of the last phase count: before it, some exits were untrained.
    """
    last = [record for record in history if record.phase == history[-1].phase]
    return max(last, key=lambda record: (record.mean_accuracy, record.epoch))
