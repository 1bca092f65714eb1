"""Rewrites graphs for fast 8-bit kernels of ONNX Runtime's CPU provider; results stay the same."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeexit.export.graphs.editing import add_constant, add_grown, drop_unread, replace_nodes
from edgeexit.export.graphs.view import FEATURE_MAP_RANK, GraphView, is_global_mean

CHANNEL_BLOCK = 4
"""8-bit convolutions read a multiple of so many channels in place, and copy others first.

On one core of an EPYC with VNNI the first convolution of ResNet-18 took 0.7 of its time with a
fourth channel of zeros.
"""


def pool_globally(model: onnx.ModelProto) -> None:
    """Turn means over height and width into GlobalAveragePool nodes."""
    view = GraphView(model)
    for node in view.nodes:
        if is_global_mean(node, view):
            as_global_pooling(node)


def as_global_pooling(node: onnx.NodeProto) -> None:
    """Turn a mean over height and width into a GlobalAveragePool, in place."""
    node.op_type = "GlobalAveragePool"
    del node.input[1:]
    del node.attribute[:]


def classify_channels_last(model: onnx.ModelProto) -> None:
    """Let classifiers of flattened maps (N, C, H, W) read them as (N, H, W, C).

    Convolutions in 8 bits write channels last. A Transpose before the flattening cancels with the
    provider's own behind the convolution; otherwise each tensor of the last block is transposed.
    """
    view = GraphView(model)
    nodes = []
    for node in view.nodes:
        shape = view.shape(node.input[0])
        layer = view.only_reader(node.output[0])
        if layer is not None and _flattens(node, shape, view) and _is_classifier(layer, view):
            name = f"{node.output[0]}_channels_last"
            nodes.append(
                helper.make_node("Transpose", [node.input[0]], [name], name, perm=[0, 2, 3, 1])
            )
            node.input[0] = name
            weight = view.initializers[layer.input[1]]
            weight.CopyFrom(_channels_last(weight, shape[1:], view.channel_axis(layer) == 0))
        nodes.append(node)
    replace_nodes(model.graph, nodes)


def _flattens(node: onnx.NodeProto, shape: tuple[int, ...], view: GraphView) -> bool:
    """Whether a node flattens a map (N, C, H, W) of several pixels to (N, C * H * W)."""
    if node.op_type not in ("Reshape", "Flatten") or len(shape) != FEATURE_MAP_RANK:
        return False
    values = int(np.prod(shape[1:]))
    return values > shape[1] > 0 and view.shape(node.output[0])[1:] == (values,)


def _is_classifier(node: onnx.NodeProto, view: GraphView) -> bool:
    """Whether a node is a linear layer whose weight no other node reads."""
    return (
        node.op_type in ("Gemm", "MatMul")
        and not view.attribute(node, "transA", 0)
        and view.channel_axis(node) is not None
        and len(view.readers[node.input[1]]) == 1
    )


def _channels_last(
    weight: onnx.TensorProto, shape: tuple[int, ...], rows_are_classes: bool
) -> onnx.TensorProto:
    """Return the weight of a linear layer on features (C, H, W), reordered for (H, W, C)."""
    value = numpy_helper.to_array(weight)
    by_class = value if rows_are_classes else value.T
    moved = by_class.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(by_class.shape)
    ordered = np.ascontiguousarray(moved if rows_are_classes else moved.T)
    return numpy_helper.from_array(ordered, weight.name)


def widen_channels(model: onnx.ModelProto) -> None:
    """Let convolutions read a multiple of four channels, padded with zeros.

    Grouped convolutions, and those of one or three dimensions, are not changed.
    """
    view = GraphView(model)
    nodes = []
    for node in view.nodes:
        weight = view.initializers.get(node.input[1]) if node.op_type == "Conv" else None
        if weight is not None and len(weight.dims) == 4 and view.attribute(node, "group", 1) == 1:
            added = -weight.dims[1] % CHANNEL_BLOCK
            nodes += [_pad_channels(node, weight, added, model.graph)] if added else []
        nodes.append(node)
    replace_nodes(model.graph, nodes)
    drop_unread(model.graph)


def _pad_channels(
    node: onnx.NodeProto, weight: onnx.TensorProto, added: int, graph: onnx.GraphProto
) -> onnx.NodeProto:
    """Pad a convolution's weight, and return the node that pads its features."""
    name = f"{node.output[0]}_wide"
    node.input[1] = add_grown(graph, f"{name}_weight", weight, 1, added)
    pads = np.array([0, 0, 0, 0, 0, added, 0, 0], np.int64)
    padded = [node.input[0], add_constant(graph, f"{name}_pads", pads)]
    node.input[0] = name
    return helper.make_node("Pad", padded, [name], f"{name}/pad")
