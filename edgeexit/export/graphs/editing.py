"""Small helpers that edit an ONNX graph in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


def replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Replace a graph's nodes with these, some of which may be its own."""
    copies = []
    for node in nodes:  # the graph's own nodes are lost when it is emptied
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)


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
