"""Confidence scores, as a function in NumPy and as ONNX nodes behind an exit's logits.

A new score is one file here with one registration::

    SCORES.register("mine")(Score("what it is", of_probabilities, add_nodes))

Both forms read the softmax of an exit's logits. Scores are from 0 to 1, higher is more confident,
and labels are not used. No other code depends on a particular score: networks, checkpoints and
manifests store its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeexit.registry import Registry

SOFTMAX = "softmax"
"""The paper's score, and the default."""
LEAST_CLASSES = 2


class Nodes(Protocol):
    """The gate of a graph under construction; see :mod:`edgeexit.export.graphs.gate`.

    Attributes:
        logits: name of the tensor of logits, float32 (N, K).
        probabilities: name of the tensor of their softmax, float32 (N, K).
        num_classes: K.
    """

    logits: str
    probabilities: str
    num_classes: int

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node; return its (first) output tensor."""

    def over_classes(self, operator: str, tensor: str) -> str:
        """Add a reduction of (N, K) to (N,); return its output tensor."""

    def constant(self, value: float | list[int], dtype: str = "float32") -> str:
        """Return a constant tensor of a value, of shape (), or of a list of values."""


@dataclass(frozen=True, slots=True)
class Score:
    """A confidence score.

    Attributes:
        about: a short description.
        of: maps probabilities (..., K) float32, K at least 2, to scores (...) float32.
        add_nodes: adds the same computation to a graph and returns its result, a float32 tensor
            (N,) written by the last node added.
    """

    about: str
    of: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    add_nodes: Callable[[Nodes], str]


SCORES: Registry[Score] = Registry("score", package="edgeexit.scores")


def check_score(name: str, num_classes: int) -> str:
    """Check that a network of ``num_classes`` can use a score; return the score's name.

    Raises:
        UnknownNameError: no score has that name.
        ValueError: with one class, only the largest softmax value is defined.
    """
    SCORES[name]
    if num_classes < LEAST_CLASSES and name != SOFTMAX:
        raise ValueError(
            f"score {name}: expected {LEAST_CLASSES} classes or more, got {num_classes}"
        )
    return name
