"""Progress reports of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edgeexit.cost import NetworkCost
from edgeexit.data import ImageData
from edgeexit.training.settings.config import TrainConfig


@dataclass(frozen=True, slots=True, eq=False)
class RunPlan:
    """Plan of a run, known before its first step.

    Attributes:
        config: resolved: network, batch size, device.
        data: the training data.
        cost: cost of the network for one image.
        epochs: epochs of all phases together.
        steps: steps per epoch.
    """

    config: TrainConfig
    data: ImageData
    cost: NetworkCost
    epochs: int
    steps: int


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


class RunProgress(Protocol):
    """Receives the progress of a training run."""

    def begin(self, plan: RunPlan) -> None:
        """Receive the plan, before the first step of a new or resumed run."""

    def remark(self, text: str) -> None:
        """Receive a line about the run, such as what it starts from."""

    def step(self, status: StepStatus) -> None:
        """Receive the state after a step; on a GPU, not after every step."""
