"""Training or evaluation mode for the length of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from torch import nn

__all__ = ["evaluating", "in_mode"]


@contextmanager
def in_mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Put ``module`` into one mode, and give every submodule its own mode back after.

    ``module.train(was_training)`` would not do: parts of a network may be frozen in evaluation
    mode while the rest of it trains.
    """
    modes = [(child, child.training) for child in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for child, was_training in modes:
            child.training = was_training


def evaluating(module: nn.Module) -> AbstractContextManager[None]:
    """Put ``module`` into evaluation mode for the length of a block."""
    return in_mode(module, False)
