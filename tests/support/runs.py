"""Training runs in tests: what listens to them, and whether two ended alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from edgeexit.training import TrainConfig, load_checkpoint
from edgeexit.training.record.reports import StepStatus

MakeConfig = Callable[..., TrainConfig]


class Listener:
    """Keeps what a run reports; Ctrl-C comes with the step ``stop``: epoch and step in it."""

    def __init__(self, stop: tuple[int, int] | None = None) -> None:
        self.stop = stop
        self.remarks: list[str] = []
        self.statuses: list[StepStatus] = []

    def begin(self, setup: object) -> None: ...

    def remark(self, text: str) -> None:
        self.remarks.append(text)

    def step(self, status: StepStatus) -> None:
        self.statuses.append(status)
        if (status.epoch, status.step) == self.stop:
            raise KeyboardInterrupt


def same_weights(first: Path, second: Path) -> bool:
    """Whether two checkpoints have the same weights, bit for bit."""
    one, other = (load_checkpoint(path).weights for path in (first, second))
    return list(one) == list(other) and all(torch.equal(one[k], other[k]) for k in one)
