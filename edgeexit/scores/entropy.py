"""One minus the entropy of the softmax relative to its maximum: 1 - H / log K."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgeexit.scores.base import SCORES, Nodes, Score


def of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 - H / log K; a probability of 0 adds nothing to H."""
    logs = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    entropy = -(probabilities * logs).sum(axis=-1)
    score: NDArray[np.float32] = np.abs(1 - entropy / np.float32(math.log(probabilities.shape[-1])))
    return score


def add_nodes(nodes: Nodes) -> str:
    """Add the same as nodes; LogSoftmax is finite even if a probability is rounded to 0.

    A sum may be rounded below 0, hence the absolute value; NaN stays NaN, which Min and Max may
    turn into 1.
    """
    logs = nodes.add("LogSoftmax", nodes.logits, axis=1)
    negative = nodes.over_classes("ReduceSum", nodes.add("Mul", nodes.probabilities, logs))
    share = nodes.add("Mul", negative, nodes.constant(1 / math.log(nodes.num_classes)))
    return nodes.add("Abs", nodes.add("Add", share, nodes.constant(1)))


SCORES.register("entropy")(Score("1 - entropy / maximum entropy", of, add_nodes))
