"""The largest softmax value (Section III-C)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeexit.scores.base import SCORES, SOFTMAX, Nodes, Score


def of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest probability."""
    largest: NDArray[np.float32] = probabilities.max(axis=-1)
    return largest


def add_nodes(nodes: Nodes) -> str:
    """Add the same as nodes."""
    return nodes.over_classes("ReduceMax", nodes.probabilities)


SCORES.register(SOFTMAX)(Score("the largest softmax value", of, add_nodes))
