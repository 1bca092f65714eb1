"""FP32 graph -> the same graph with weights and features in 8 bits, by explicit quantization.

A QuantizeLinear and a DequantizeLinear mark where a value is rounded to 8 bits, and every engine
either computes between them in 8 bits or rounds just the same. Weights are int8 constants,
symmetric, with one scale per channel. A target's plan selects the tensors, and the target chooses
the form of features: see :mod:`edgeexit.export.int8.targets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgeexit.export.graphs.editing import replace_nodes
from edgeexit.export.int8.rounding import (
    LEVELS,
    Rounding,
    bias_steps,
    scales_for_bias,
    weight_scales,
    weight_steps,
)


@dataclass(frozen=True, slots=True)
class Bias:
    """A bias whose scale is that of the products it is added to: ``tensor``'s times ``weight``'s.

    Attributes:
        name: its initializer.
        tensor: the feature that is multiplied.
        weight: the initializer that the feature is multiplied by.
    """

    name: str
    tensor: str
    weight: str


@dataclass(frozen=True, slots=True)
class QuantizationPlan:
    """The tensors of a graph that are rounded to 8 bits.

    Attributes:
        weights: by initializer, its axis of output channels.
        tensors: features, in the order in which they are read.
        edges: inputs that read the rounded value, as (first output of the node, position).
        biases: by first output of a node, its bias, if it is rounded to int32.
        moves: by first output, nodes that only move or select values, and so read and write the 8
            bits themselves; the value is the feature of ``tensors`` whose scale they keep.
    """

    weights: dict[str, int]
    tensors: tuple[str, ...]
    edges: frozenset[tuple[str, int]]
    biases: dict[str, Bias] = field(default_factory=dict)
    moves: dict[str, str] = field(default_factory=dict)


def quantized(name: str) -> str:
    """Return the name of a tensor's form in 8 bits."""
    return f"{name}_quantized"


def dequantized(name: str) -> str:
    """Return the name of a tensor's rounded value."""
    return f"{name}_dequantized"


def insert_qdq(
    model: onnx.ModelProto,
    plan: QuantizationPlan,
    roundings: Mapping[str, Rounding],
    dtype: np.dtype[Any],
    levels: int = LEVELS,
) -> onnx.ModelProto:
    """Return a copy of a graph with its Q/DQ nodes.

    Args:
        model: the graph, FP32.
        plan: its tensors to round.
        roundings: by feature of ``plan.tensors``, its rounding.
        dtype: float32, or float16 for weight scales that a later conversion of the graph to FP16
            keeps exactly.
        levels: the largest integer of a weight.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for node in graph.node:
        for position, name in enumerate(node.input):
            if (node.output[0], position) in plan.edges:
                node.input[position] = dequantized(name)
    inserter = _Inserter(model, graph, plan, roundings, dtype, levels)
    nodes = [node for name, axis in plan.weights.items() for node in inserter.weight(name, axis)]
    nodes += inserter.pairs([info.name for info in graph.input])
    for node in graph.node:
        if node.output[0] in plan.moves:
            nodes += inserter.move(node)
        else:
            nodes += [*inserter.bias(node), node, *inserter.pairs(node.output)]
    replace_nodes(graph, nodes)
    _drop_unread(graph, {*plan.weights, *(bias.name for bias in plan.biases.values())})
    return result


class _Inserter:
    """Makes the nodes, and adds their constants to the graph."""

    def __init__(
        self,
        model: onnx.ModelProto,
        graph: onnx.GraphProto,
        plan: QuantizationPlan,
        roundings: Mapping[str, Rounding],
        dtype: np.dtype[Any],
        levels: int,
    ) -> None:
        self._graph = graph
        self._levels = levels
        self._plan = plan
        self._roundings = roundings
        self._values = {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in model.graph.initializer
            if tensor.name in {*plan.weights, *(bias.name for bias in plan.biases.values())}
        }
        self._scales = {
            name: self._weight_scales(name, axis, dtype) for name, axis in plan.weights.items()
        }

    def weight(self, name: str, axis: int) -> Iterator[onnx.NodeProto]:
        """Yield the node that dequantizes a weight stored in 8 bits."""
        scales = self._scales[name]
        steps = weight_steps(self._values[name], scales, axis, self._levels)
        self._add(quantized(name), steps)
        constants = self._add_rounding(name, scales, np.zeros(len(scales), np.int8))
        yield helper.make_node(
            "DequantizeLinear",
            [quantized(name), *constants],
            [dequantized(name)],
            f"{name}/dequantize",
            axis=axis,
        )

    def bias(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield the node that dequantizes a bias stored as int32, and make ``node`` read it."""
        bias = self._plan.biases.get(node.output[0])
        if bias is None:
            return
        name = f"{node.output[0]}_bias"  # two nodes may share a bias, with different scales
        scales = self._product_scales(bias)
        self._add(quantized(name), bias_steps(self._values[bias.name], scales))
        constants = self._add_rounding(name, scales, np.zeros(len(scales), np.int32))
        node.input[2] = dequantized(name)
        yield helper.make_node(
            "DequantizeLinear",
            [quantized(name), *constants],
            [dequantized(name)],
            f"{name}/dequantize",
            axis=0,
        )

    def pairs(self, names: Sequence[str]) -> Iterator[onnx.NodeProto]:
        """Yield the Q/DQ pair of each of ``names`` that the plan rounds."""
        for name in names:
            if name in self._plan.tensors:
                rounding = self._roundings[name]
                constants = self._add_rounding(name, rounding.scale, rounding.zero_point)
                yield helper.make_node(
                    "QuantizeLinear", [name, *constants], [quantized(name)], f"{name}/quantize"
                )
                yield helper.make_node(
                    "DequantizeLinear",
                    [quantized(name), *constants],
                    [dequantized(name)],
                    f"{name}/dequantize",
                )

    def move(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield a node rewritten to move 8 bits, and the one that dequantizes its output."""
        name, origin = node.output[0], self._plan.moves[node.output[0]]
        constants = (f"{origin}_scale", f"{origin}_zero_point")
        node.input[0] = quantized(node.input[0])
        node.output[0] = quantized(name)
        if node.op_type == "Pad":
            node.input[:] = [*node.input, ""][:3] + list(node.input[3:])
            node.input[2] = constants[1]
        yield node
        yield helper.make_node(
            "DequantizeLinear", [node.output[0], *constants], [name], f"{name}/dequantize"
        )

    def _weight_scales(self, name: str, axis: int, dtype: np.dtype[Any]) -> NDArray[np.float32]:
        """Return scales that are also large enough for the channels' biases to fit into int32."""
        scales = weight_scales(self._values[name], axis, dtype, self._levels)
        for bias in self._plan.biases.values():
            if bias.weight == name:
                tensor = self._roundings[bias.tensor]
                least = scales_for_bias(self._values[bias.name], tensor)
                scales = np.maximum(scales, least)
        return scales

    def _product_scales(self, bias: Bias) -> NDArray[np.float32]:
        scales: NDArray[np.float32] = self._scales[bias.weight] * self._roundings[bias.tensor].scale
        return scales

    def _add_rounding(
        self, name: str, scale: NDArray[Any], zero_point: NDArray[Any]
    ) -> tuple[str, str]:
        names = (f"{name}_scale", f"{name}_zero_point")
        for constant, value in zip(names, (scale, zero_point), strict=True):
            self._add(constant, value)
        return names

    def _add(self, name: str, value: NDArray[Any]) -> None:
        self._graph.initializer.append(numpy_helper.from_array(value, name))


def _drop_unread(graph: onnx.GraphProto, names: set[str]) -> None:
    """Remove the FP32 form of constants that no node reads any longer."""
    read = {name for node in graph.node for name in node.input}
    kept = [
        tensor for tensor in graph.initializer if tensor.name not in names or tensor.name in read
    ]
    if len(kept) < len(graph.initializer):
        copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
        del graph.initializer[:]
        graph.initializer.extend(copies)
