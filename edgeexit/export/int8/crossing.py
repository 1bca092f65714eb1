"""Passes feature maps between graphs in 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import onnx

from edgeexit.export.int8.nodes import quantized


def cross_in_8_bits(model: onnx.ModelProto, features: Iterable[str]) -> None:
    """Make a graph read and write features as uint8, under their original names.

    The graph then ends with the QuantizeLinear of its outputs, and begins with the
    DequantizeLinear of its inputs.

    Args:
        model: a graph with Q/DQ nodes, edited in place.
        features: inputs and outputs of all graphs that are quantized; this one has some of them.
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
    """Change those among ``names`` to uint8 and return their names."""
    found = [info for info in infos if info.name in names]
    for info in found:
        info.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    return [info.name for info in found]


def _rename(nodes: Iterable[onnx.NodeProto], new: Callable[[str], str]) -> None:
    for node in nodes:
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove DequantizeLinear nodes without readers: all readers of the value move 8 bits."""
    read = {name for node in graph.node for name in node.input}
    read |= {info.name for info in graph.output}
    for node in list(graph.node):
        if node.op_type == "DequantizeLinear" and node.output[0] not in read:
            graph.node.remove(node)
