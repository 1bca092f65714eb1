"""Graphs written in other operators for ONNX Runtime's CPU provider; what they give is the same."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeexit.export.graphs.view import GraphView, is_global_mean

CHANNEL_BLOCK = 4
"""Convolutions in 8 bits of a multiple of it read features where they lie, others a copy.

On one core of an EPYC with VNNI the first one of ResNet-18 took 0.7 of its time with a fourth
channel of zeros.
"""


def pool_globally(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy where means over height and width are GlobalAveragePool nodes."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    view = GraphView(result)
    for node in result.graph.node:
        if is_global_mean(node, view):
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]
    return result


def widen_channels(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy where convolutions read a multiple of four channels, zeros among them.

    Grouped convolutions stay as they are.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    view = GraphView(result)
    nodes = []
    for node in model.graph.node:
        if _is_widened(node, view):
            nodes.append(_pad_channels(node, result.graph, view))
            node = _reading(node, [f"{node.output[0]}_wide", f"{node.output[0]}_wide_weight"])
        nodes.append(node)
    read = {name for node in nodes for name in node.input}
    unread = [tensor for tensor in result.graph.initializer if tensor.name not in read]
    for tensor in unread:
        result.graph.initializer.remove(tensor)
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def _is_widened(node: onnx.NodeProto, view: GraphView) -> bool:
    if node.op_type != "Conv" or node.input[1] not in view.initializers:
        return False
    dims = view.initializers[node.input[1]].dims
    is_map = len(dims) == 4  # of an image, not of a sequence or a volume
    return is_map and view.attribute(node, "group", 1) == 1 and dims[1] % CHANNEL_BLOCK != 0


def _pad_channels(node: onnx.NodeProto, graph: onnx.GraphProto, view: GraphView) -> onnx.NodeProto:
    """Add a wider weight to the graph, and return the node that widens what is multiplied."""
    weight = numpy_helper.to_array(view.initializers[node.input[1]])
    added = -weight.shape[1] % CHANNEL_BLOCK
    name = f"{node.output[0]}_wide"
    wide = np.pad(weight, ((0, 0), (0, added), (0, 0), (0, 0)))
    pads = np.array([0, 0, 0, 0, 0, added, 0, 0], np.int64)
    graph.initializer.append(numpy_helper.from_array(wide, f"{name}_weight"))
    graph.initializer.append(numpy_helper.from_array(pads, f"{name}_pads"))
    return helper.make_node("Pad", [node.input[0], f"{name}_pads"], [name], f"{name}/pad")


def _reading(node: onnx.NodeProto, inputs: list[str]) -> onnx.NodeProto:
    """Return a copy of a node whose first inputs are others."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[: len(inputs)] = inputs
    return copy
