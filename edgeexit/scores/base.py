"""What a score says: how sure an exit is, in numbers and as nodes behind its logits.

A new score is one file here with one registration::

    SCORES.register("mine")(Score("what it is", of_probabilities, add_nodes))

Both forms read the softmax of an exit's logits. Higher is surer, from 0 to 1, and labels play no
part. Nothing else knows one score from another: networks, checkpoints and manifests keep its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeexit.registry import Registry

SOFTMAX = "softmax"
"""The paper's, and what everything has that does not say another."""
LEAST_CLASSES = 2


class Nodes(Protocol):
    """The gate of a graph that is being made: see :mod:`edgeexit.export.graphs.gate`.

    Attributes:
        logits: the tensor of the logits, float32 (N, K).
        probabilities: of their softmax, float32 (N, K).
        num_classes: K.
    """

    logits: str
    probabilities: str
    num_classes: int

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node; return the tensor that it writes, the first of several."""

    def over_classes(self, operator: str, tensor: str) -> str:
        """Add a reduction of (N, K) to (N,); return the tensor that it writes."""

    def constant(self, value: float | list[int], dtype: str = "float32") -> str:
        """Return a tensor that holds a value, of shape (), or a list of values."""


@dataclass(frozen=True, slots=True)
class Score:
    """How sure an exit is.

    Attributes:
        about: what it is, in a few words.
        of: maps probabilities (..., K) float32, K at least 2, to scores (...) float32.
        add_nodes: adds the same to a graph and returns the tensor, float32 (N,), which the node
            that was added last writes.
    """

    about: str
    of: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    add_nodes: Callable[[Nodes], str]


SCORES: Registry[Score] = Registry("score", package="edgeexit.scores")


def check_score(name: str, num_classes: int) -> str:
    """Return the name of a score that a network of so many classes may have.

    Raises:
        UnknownNameError: no score has that name.
        ValueError: of one class nothing but the largest softmax value is a score.
    """
    SCORES[name]
    if num_classes < LEAST_CLASSES and name != SOFTMAX:
        raise ValueError(
            f"score {name}: expected {LEAST_CLASSES} classes or more, got {num_classes}"
        )
    return name
