"""Learning rate schedule of a phase: linear decay to 0, per step, as in the paper (Section V)."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def linear_decay(optimizer: Optimizer, steps: int) -> LambdaLR:
    """Return a schedule that decays each group's learning rate linearly to 0 in ``steps``."""
    return LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))


def rate_at(lr: float, epoch: int, epochs: int) -> float:
    """Return the learning rate of an epoch's first step.

    Args:
        lr: learning rate of the phase's first step.
        epoch: counted from 1 over all phases.
        epochs: epochs per phase.
    """
    return lr * (1 - (epoch - 1) % epochs / epochs)
