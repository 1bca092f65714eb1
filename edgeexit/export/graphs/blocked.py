"""Rewrites FP32 graphs for the blocked channel layout of ONNX Runtime's CPU provider.

The provider convolves on blocks of 8 or 16 channels, and reorders a tensor to the plain layout for
every operator that has no blocked kernel. In small networks the reorders take as long as the
convolutions around them, and prevent the fusion of a residual addition into the convolution before
it. Outputs of a graph change by rounding alone. All engines run the result, in opsets 18 to 20.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edgeexit.export.graphs.editing import (
    add_constant,
    add_grown,
    drop_unread,
    replace_nodes,
)
from edgeexit.export.graphs.parts import Graph, rewritten
from edgeexit.export.graphs.view import FEATURE_MAP_RANK, GraphView, is_global_mean
from edgeexit.export.graphs.widening import as_global_pooling

BLOCK = 16
"""Channels per block with AVX-512; half as many with AVX2 and NEON."""

LARGEST_REPEATED = 8
"""Side of the largest maps that a gate is repeated over; on larger ones this takes longer.

Two SE-B blocks of 64 channels on one core of an EPYC took 0.82 of the time at 4x4, 0.91 at 8x8,
1.01 at 14x14, 1.22 at 28x28; with 512 channels 0.99 at 7x7.
"""

GATES = ("Sigmoid", "HardSigmoid")


def keep_in_blocks(graph: Graph) -> Graph:
    """Return an FP32 graph with fewer changes of layout.

    Means of computed feature maps over height and width become GlobalAveragePool. The few channels
    between the two layers of squeeze-and-excitation are padded to a block with zeros. Its gate is
    repeated over a small map before the two are multiplied. A shortcut that skips pixels and adds
    channels of zeros becomes a convolution with a weight of ones and zeros.
    """
    model = onnx.load_from_string(graph.content)
    view = GraphView(model)
    nodes: list[onnx.NodeProto] = []
    for node in view.nodes:
        rewrite = REWRITES.get(node.op_type)
        nodes += [node] if rewrite is None else rewrite(node, view)
    replace_nodes(model.graph, nodes)
    drop_unread(model.graph)
    return rewritten(graph, model, "float32")


def _pool(node: onnx.NodeProto, view: GraphView) -> list[onnx.NodeProto]:
    """Pool computed maps; a graph's inputs are in the plain layout, where a mean is faster."""
    if node.input[0] in view.producers and is_global_mean(node, view):
        as_global_pooling(node)
    return [node]


def _fill_block(node: onnx.NodeProto, view: GraphView) -> list[onnx.NodeProto]:
    """Pad the channels between the two layers of squeeze-and-excitation to a whole block."""
    relu = view.only_reader(node.output[0])
    is_relu = relu is not None and relu.op_type == "Relu"
    second = view.only_reader(relu.output[0]) if relu is not None and is_relu else None
    if second is None or not (_is_pooled_layer(node, view) and _is_pooled_layer(second, view)):
        return [node]
    added = -view.initializers[node.input[1]].dims[0] % BLOCK
    if added == 0:
        return [node]
    for layer, position, axis in ((node, 1, 0), (second, 1, 1), (node, 2, 0)):
        if position < len(layer.input):
            name = f"{layer.output[0]}_{('weight', 'bias')[position - 1]}"
            tensor = view.initializers[layer.input[position]]
            layer.input[position] = add_grown(view.graph, name, tensor, axis, added)
    return [node]


def _repeat_gate(node: onnx.NodeProto, view: GraphView) -> list[onnx.NodeProto]:
    """Repeat a gate (N, C, 1, 1) over its map (N, C, H, W) before the two are multiplied.

    A MaxPool does so, with a window that contains the one value at every position. Later versions
    of the provider also have a blocked Resize; earlier ones would reorder to the plain layout.
    """
    for gate, other in ((0, 1), (1, 0)):
        producer = view.producers.get(node.input[gate])
        shape, size = view.shape(node.input[gate])[1:], view.shape(node.input[other])[1:]
        if (
            producer is not None
            and producer.op_type in GATES
            and len(size) == FEATURE_MAP_RANK - 1
            and shape == (size[0], 1, 1)
            and 1 < max(size[1:]) <= LARGEST_REPEATED
            and min(size) > 0
        ):
            repeated = f"{node.output[0]}_gate"
            window = helper.make_node(
                *("MaxPool", [node.input[gate]], [repeated], repeated),
                kernel_shape=size[1:],
                pads=[size[1] - 1, size[2] - 1] * 2,
            )
            node.input[gate] = repeated
            return [window, node]
    return [node]


def _convolve_shortcut(node: onnx.NodeProto, view: GraphView) -> list[onnx.NodeProto]:
    """Replace a Slice of every n-th pixel and a Pad of channels by one convolution."""
    if node.op_type == "Slice":
        pad = view.only_reader(node.output[0])
        return [node] if pad is None or _shortcut(node, pad, view) is None else []
    producer = view.producers.get(node.input[0]) if node.op_type == "Pad" else None
    if producer is None or view.only_reader(producer.output[0]) is None:
        return [node]
    found = _shortcut(producer, node, view)
    if found is None:
        return [node]
    strides, weight = found
    name = node.output[0]
    constant = add_constant(view.graph, f"{name}_weight", weight)
    return [
        helper.make_node(
            *("Conv", [producer.input[0], constant], [name], name),
            kernel_shape=[1, 1],
            strides=strides,
        )
    ]


def _shortcut(
    cut: onnx.NodeProto, pad: onnx.NodeProto, view: GraphView
) -> tuple[list[int], NDArray[np.float32]] | None:
    """Return strides and weight of the equivalent convolution; None if there is none."""
    shape = view.shape(cut.input[0])
    if cut.op_type != "Slice" or pad.op_type != "Pad" or len(shape) != FEATURE_MAP_RANK:
        return None
    if len(cut.input) != 5 or len(pad.input) != 2:
        return None
    values = [view.constant(name) for name in (*cut.input[1:], pad.input[1])]
    if any(value is None for value in values):
        return None
    starts, ends, axes, steps, pads = (value.tolist() for value in values if value is not None)
    whole = starts == [0, 0] and axes == [2, 3] and min(steps) > 0
    whole = whole and all(end >= size for end, size in zip(ends, shape[2:], strict=True))
    is_constant = view.attribute(pad, "mode", b"constant") == b"constant"
    channels, before, after = shape[1], pads[1], pads[5]
    pads[1] = pads[5] = 0
    if not whole or not is_constant or any(pads) or min(before, after) < 0:
        return None
    weight = np.zeros((before + channels + after, channels, 1, 1), np.float32)
    weight[before + np.arange(channels), np.arange(channels)] = 1
    return steps, weight


REWRITES = {
    "ReduceMean": _pool,
    "Conv": _fill_block,
    "Mul": _repeat_gate,
    "Slice": _convolve_shortcut,
    "Pad": _convolve_shortcut,
}
"""By operator, a function that returns the replacement of a node; it may change the node."""


def _is_pooled_layer(node: onnx.NodeProto, view: GraphView) -> bool:
    """Whether a node is a convolution of one pixel, with a constant weight."""
    return (
        node.op_type == "Conv"
        and view.attribute(node, "group", 1) == 1
        and view.shape(node.input[0])[2:] == (1, 1)
        and view.shape(node.output[0])[2:] == (1, 1)
        and all(name in view.initializers for name in node.input[1:])
    )
