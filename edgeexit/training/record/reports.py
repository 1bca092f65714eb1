"""What a run reports: its steps, its epochs, and its result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeexit.training.settings.config import TrainConfig


@dataclass(frozen=True, slots=True)
class StepStatus:
    """State of a run after a step.

    Attributes:
        phase: the phase of the strategy, such as ``coop``, ``branches``, ``stage 2``.
        epoch, epochs: current epoch, counted from 1 over all phases; their total number.
        step, steps: current step, counted from 1 in the epoch; steps per epoch.
        loss: mean over the epoch's training images so far.
        accuracy: accuracy on the epoch's training images so far, 0 to 1, for each exit that the
            phase trains; images are augmented, and each is judged by the weights at its step.
    """

    phase: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: dict[str, float]


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
