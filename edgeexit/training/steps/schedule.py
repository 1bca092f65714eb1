"""How the rate falls over a phase: linearly to 0, step by step, as the paper trains (Section V)."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def linear_decay(optimizer: Optimizer, steps: int) -> LambdaLR:
    """Return a schedule that takes each group's rate from its initial value to 0 in ``steps``."""
    return LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))


def rate_at(lr: float, epoch: int, epochs: int) -> float:
    """Return the rate at an epoch's first step.

    Args:
        lr: of the phase's first step.
        epoch: counted from 1 over all phases.
        epochs: of each phase.
    """
    return lr * (1 - (epoch - 1) % epochs / epochs)
