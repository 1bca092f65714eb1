"""The difference between the two largest softmax values (best versus second best)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeexit.scores.base import SCORES, Nodes, Score


def of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest minus the second largest probability."""
    second, largest = np.moveaxis(np.partition(probabilities, -2, axis=-1)[..., -2:], -1, 0)
    margin: NDArray[np.float32] = largest - second
    return margin


def add_nodes(nodes: Nodes) -> str:
    """Add the same as nodes."""
    two = nodes.add("TopK", nodes.probabilities, nodes.constant([2], "int64"), outputs=2, axis=1)
    first, second = (
        nodes.add("Gather", two, nodes.constant(place, "int64"), axis=1) for place in (0, 1)
    )
    return nodes.add("Sub", first, second)


SCORES.register("margin")(Score("the difference of the two largest softmax values", of, add_nodes))
