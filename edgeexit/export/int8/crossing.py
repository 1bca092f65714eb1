"""Feature maps that cross from graph to graph as the 8 bits that they were rounded to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import onnx

from edgeexit.export.int8.nodes import quantized


def cross_in_8_bits(model: onnx.ModelProto, features: Iterable[str]) -> None:
    """Let a graph read and write features in uint8, under the names that their values had.

    What a stage rounds last is its output then, and what a graph does first is to read the 8 bits.

    Args:
        model: a graph with Q/DQ nodes.
        features: inputs and outputs of graphs that are rounded; this one has some of them.
    """
    graph = model.graph
    names = set(features)
    read = _retype(graph.input, names)
    written = _retype(graph.output, names)
    for name in read:
        rounding = next(node for node in graph.node if list(node.output) == [quantized(name)])
        graph.node.remove(rounding)
    values = {name: f"{name}_value" for name in written}
    steps = {quantized(name): name for name in (*read, *written)}
    _rename(graph.node, lambda name: values.get(name) or steps.get(name, name))
    _drop_unread(graph)


def _retype(infos: Sequence[onnx.ValueInfoProto], names: set[str]) -> list[str]:
    """Make those of ``names`` uint8 and return which these are."""
    found = [info for info in infos if info.name in names]
    for info in found:
        info.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    return [info.name for info in found]


def _rename(nodes: Iterable[onnx.NodeProto], new: Callable[[str], str]) -> None:
    for node in nodes:
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove rounded values that nothing reads: all of their readers move 8 bits."""
    read = {name for node in graph.node for name in node.input}
    read |= {info.name for info in graph.output}
    for node in list(graph.node):
        if node.op_type == "DequantizeLinear" and node.output[0] not in read:
            graph.node.remove(node)
