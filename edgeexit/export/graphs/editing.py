"""Small helpers that edit an ONNX graph in place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


def replace_nodes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Replace a graph's nodes with these, some of which may be its own."""
    kept = list(nodes)
    del graph.node[:]
    graph.node.extend(kept)


def drop_unread(graph: onnx.GraphProto) -> None:
    """Remove initializers that nothing reads."""
    read = {name for node in graph.node for name in node.input}
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name not in read:
            del graph.initializer[place]


def add_constant(graph: onnx.GraphProto, name: str, value: NDArray[Any]) -> str:
    """Add an initializer and return its name."""
    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def add_grown(
    graph: onnx.GraphProto, name: str, tensor: onnx.TensorProto, axis: int, added: int
) -> str:
    """Add an initializer of a tensor's values with zeros appended along one axis."""
    widths = [(0, added * (place == axis)) for place in range(len(tensor.dims))]
    return add_constant(graph, name, np.pad(numpy_helper.to_array(tensor), widths))
