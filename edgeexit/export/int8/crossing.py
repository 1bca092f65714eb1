"""Passes feature maps between graphs in 8 bits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx

from edgeexit.export.graphs.editing import replace_nodes
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
    read, written = _retype(graph.input, names), _retype(graph.output, names)
    read_in_8_bits = {quantized(name) for name in read}
    renamed = {quantized(name): name for name in (*read, *written)}
    renamed |= {name: f"{name}_value" for name in written}
    nodes = [node for node in graph.node if read_in_8_bits.isdisjoint(node.output)]
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    used = {name for node in nodes for name in node.input} | {info.name for info in graph.output}
    # a DequantizeLinear has no readers left if all of them move 8 bits
    replace_nodes(
        graph,
        (it for it in nodes if it.op_type != "DequantizeLinear" or it.output[0] in used),
    )


def _retype(infos: Sequence[onnx.ValueInfoProto], names: set[str]) -> list[str]:
    """Change those among ``names`` to uint8 and return their names."""
    found = [info for info in infos if info.name in names]
    for info in found:
        info.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    return [info.name for info in found]
