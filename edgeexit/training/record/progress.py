"""What a run tells while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edgeexit.cost import NetworkCost
from edgeexit.data import ImageData
from edgeexit.training.settings.config import TrainConfig


@dataclass(frozen=True, slots=True, eq=False)
class RunPlan:
    """What a run is about to do.

    Attributes:
        config: with nothing left open: network, batch size, device.
        data: what it trains on.
        cost: of the network, for one image.
        epochs, steps: of all phases together; of one epoch.
    """

    config: TrainConfig
    data: ImageData
    cost: NetworkCost
    epochs: int
    steps: int


@dataclass(frozen=True, slots=True)
class StepStatus:
    """Where a run is after a step.

    Attributes:
        phase: the phase of the strategy, such as ``coop``, ``branches``, ``stage 2``.
        epoch, epochs: counted from 1 over all phases; how many there are in all of them.
        step, steps: counted from 1 in the epoch; how many an epoch has.
        loss: mean over the epoch's training images so far.
        accuracy: share of the epoch's training images so far that each exit labels correctly
            (augmented, and by the weights of the moment), by the exits that the phase computes.
    """

    phase: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: dict[str, float]


class RunProgress(Protocol):
    """Who is told how far training is."""

    def begin(self, plan: RunPlan) -> None:
        """Take what the run will do, before its first step and where it goes on."""

    def remark(self, text: str) -> None:
        """Take a line about the run, such as where it starts."""

    def step(self, status: StepStatus) -> None:
        """Take where the run is; called after steps, but not after each one of a fast run."""
