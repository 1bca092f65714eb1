"""FP32 graph -> the same with weights and features in 8 bits, said by Q/DQ nodes in the file.

Explicit quantization: a QuantizeLinear and a DequantizeLinear stand where a value is rounded to 8
bits, and every engine either computes between them in INT8 or rounds just the same. All scales
are symmetric (zero point 0), per channel for weights, and constants; biases stay as they are,
since TensorRT takes no INT32 ones.

Rounded are the inputs and weights of convolutions and linear layers, and of every residual
addition the shortcut: the other side comes from a convolution, which TensorRT then runs as one
kernel with addition and ReLU. SE gates, softmax and the exit's gate stay in floating point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgeexit.export.graph_view import GraphView, excitation_nodes, pooled_tensors

__all__ = ["LEVELS", "QuantizationPlan", "insert_qdq", "plan_quantization", "weight_scales"]

LEVELS = 127
"""INT8 is used from -127 to 127: symmetric, as TensorRT wants it."""

FEATURE_MAP_RANK = 4
SMALLEST_SCALE = 1e-6  # half precision still has it


@dataclass(frozen=True, slots=True)
class QuantizationPlan:
    """What of a graph is rounded to 8 bits.

    Attributes:
        weights: by initializer, its axis of output channels.
        tensors: features, in the order in which they are read.
        edges: (first output of a node, position of its input) that read the rounded value.
    """

    weights: dict[str, int]
    tensors: tuple[str, ...]
    edges: frozenset[tuple[str, int]]


def plan_quantization(model: onnx.ModelProto) -> QuantizationPlan:
    """Return what of an exported graph is quantized."""
    view = GraphView(model)
    floating = excitation_nodes(view)
    pooled = pooled_tensors(view)
    weights: dict[str, int] = {}
    edges: list[tuple[str, int, str]] = []
    for node in model.graph.node:
        if node.output[0] in floating:
            continue
        axis = _channel_axis(node, view)
        if axis is not None:
            weights[node.input[1]] = axis
            edges += [(node.output[0], 0, node.input[0]), (node.output[0], 1, node.input[1])]
        elif _is_residual(node, view, pooled):
            position = _shortcut(node, view)
            edges.append((node.output[0], position, node.input[position]))
    tensors = dict.fromkeys(tensor for _, _, tensor in edges if tensor not in weights)
    return QuantizationPlan(
        weights, tuple(tensors), frozenset((output, position) for output, position, _ in edges)
    )


def insert_qdq(
    model: onnx.ModelProto,
    plan: QuantizationPlan,
    largest: Mapping[str, float],
    dtype: np.dtype[Any],
) -> onnx.ModelProto:
    """Return a copy of a graph with its Q/DQ nodes.

    Args:
        model: the graph, FP32.
        plan: what of it is rounded.
        largest: the magnitude that each of ``plan.tensors`` is represented up to.
        dtype: float32, or float16 for scales that a graph can keep that is then made FP16.
    """
    weights = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.name in plan.weights
    }
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for node in graph.node:
        for position, name in enumerate(node.input):
            if (node.output[0], position) in plan.edges:
                node.input[position] = _dequantized(name)
    nodes: list[onnx.NodeProto] = []
    for name, axis in plan.weights.items():
        nodes += _quantized_weight(graph, name, weights[name], axis, dtype)
    nodes += _pairs(graph, [info.name for info in graph.input], plan, largest, dtype)
    for node in graph.node:
        nodes += [node, *_pairs(graph, node.output, plan, largest, dtype)]
    _replace_nodes(graph, nodes)
    _drop_unread(graph, plan.weights)
    return result


def weight_scales(
    weight: NDArray[np.float32], axis: int, dtype: np.dtype[Any]
) -> NDArray[np.float32]:
    """Return the scale of each output channel, (channels,) float32, that ``dtype`` represents."""
    others = tuple(index for index in range(weight.ndim) if index != axis)
    return _representable(np.abs(weight).max(axis=others) / LEVELS, dtype)


def _representable(scales: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[np.float32]:
    """Return scales as ``dtype`` has them; 0, or what it takes for 0, becomes small."""
    result: NDArray[np.float32] = np.maximum(scales, SMALLEST_SCALE).astype(dtype)
    return result.astype(np.float32)


def _channel_axis(node: onnx.NodeProto, view: GraphView) -> int | None:
    """Return the axis of output channels of a layer's weight; None where it is no such layer."""
    if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in view.initializers:
        return None
    rank = len(view.initializers[node.input[1]].dims)
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if view.attribute(node, "transB", 0) else 1
    return 1 if rank == 2 else None


def _is_residual(node: onnx.NodeProto, view: GraphView, pooled: frozenset[str]) -> bool:
    """Whether a node adds two feature maps."""
    return (
        node.op_type == "Add"
        and node.input[0] != node.input[1]
        and all(
            name not in view.initializers
            and name not in pooled
            and view.rank(name) == FEATURE_MAP_RANK
            for name in node.input
        )
    )


def _shortcut(node: onnx.NodeProto, view: GraphView) -> int:
    """Return which input of an addition comes from no convolution; the second if both do."""
    for position in (1, 0):
        producer = view.producers.get(node.input[position])
        if producer is None or producer.op_type != "Conv":
            return position
    return 1


def _pairs(
    graph: onnx.GraphProto,
    names: Sequence[str],
    plan: QuantizationPlan,
    largest: Mapping[str, float],
    dtype: np.dtype[Any],
) -> Iterator[onnx.NodeProto]:
    """Yield the Q/DQ pair of each of ``names`` that the plan wants rounded."""
    for name in names:
        if name in plan.tensors:
            scale = _representable(np.array(largest[name] / LEVELS), dtype)
            constants = _add_constants(graph, name, scale, np.array(0, np.int8))
            quantized = f"{name}_quantized"
            yield helper.make_node(
                "QuantizeLinear", [name, *constants], [quantized], f"{name}/quantize"
            )
            yield helper.make_node(
                "DequantizeLinear",
                [quantized, *constants],
                [_dequantized(name)],
                f"{name}/dequantize",
            )


def _quantized_weight(
    graph: onnx.GraphProto,
    name: str,
    weight: NDArray[np.float32],
    axis: int,
    dtype: np.dtype[Any],
) -> Iterator[onnx.NodeProto]:
    """Yield the node that reads a weight stored in 8 bits."""
    scales = weight_scales(weight, axis, dtype)
    shape = [1] * weight.ndim
    shape[axis] = -1
    steps = np.rint(weight / scales.reshape(shape))
    quantized = np.clip(steps, -LEVELS, LEVELS).astype(np.int8)
    graph.initializer.append(numpy_helper.from_array(quantized, f"{name}_quantized"))
    constants = _add_constants(graph, name, scales, np.zeros(len(scales), np.int8))
    yield helper.make_node(
        "DequantizeLinear",
        [f"{name}_quantized", *constants],
        [_dequantized(name)],
        f"{name}/dequantize",
        axis=axis,
    )


def _add_constants(
    graph: onnx.GraphProto, name: str, scale: NDArray[Any], zero_point: NDArray[np.int8]
) -> tuple[str, str]:
    names = (f"{name}_scale", f"{name}_zero_point")
    for constant, value in zip(names, (scale, zero_point), strict=True):
        graph.initializer.append(numpy_helper.from_array(value, constant))
    return names


def _dequantized(name: str) -> str:
    return f"{name}_dequantized"


def _replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    copies = []
    for node in nodes:  # those of the graph itself are lost when it is emptied
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)


def _drop_unread(graph: onnx.GraphProto, names: Mapping[str, int]) -> None:
    """Remove the FP32 form of weights that nothing reads any more."""
    read = {name for node in graph.node for name in node.input}
    kept = [
        tensor for tensor in graph.initializer if tensor.name not in names or tensor.name in read
    ]
    if len(kept) < len(graph.initializer):
        copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
        del graph.initializer[:]
        graph.initializer.extend(copies)
