"""FP32 graph -> the same graph with weights and features in 8 bits, by explicit quantization.

A QuantizeLinear and a DequantizeLinear mark where a value is rounded to 8 bits, and every engine
either computes between them in 8 bits or rounds just the same. Weights are int8 constants,
symmetric, with one scale per channel. A target's plan selects the tensors, and the target chooses
the form of features: see :mod:`edgeexit.export.int8.targets`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgeexit.export.graphs.editing import add_constant, drop_unread, replace_nodes
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
) -> None:
    """Insert the Q/DQ nodes of a graph.

    Args:
        model: the graph, FP32.
        plan: its tensors to round.
        roundings: by feature of ``plan.tensors``, its rounding.
        dtype: float32, or float16 for weight scales that a later conversion of the graph to FP16
            keeps exactly.
        levels: the largest integer of a weight.
    """
    graph = model.graph
    for node in graph.node:
        for position, name in enumerate(node.input):
            if (node.output[0], position) in plan.edges:
                node.input[position] = dequantized(name)
    inserter = _Inserter(graph, plan, roundings, dtype, levels)
    nodes = [inserter.weight(name, axis) for name, axis in plan.weights.items()]
    nodes += inserter.pairs([info.name for info in graph.input])
    for node in graph.node:
        if node.output[0] in plan.moves:
            nodes += inserter.move(node)
        else:
            nodes += [*inserter.bias(node), node, *inserter.pairs(node.output)]
    replace_nodes(graph, nodes)
    drop_unread(graph)


class _Inserter:
    """Makes the nodes, and adds their constants to the graph."""

    def __init__(
        self,
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
        read = {*plan.weights, *(bias.name for bias in plan.biases.values())}
        self._values = {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in graph.initializer
            if tensor.name in read
        }
        self._scales = {
            name: self._weight_scales(name, axis, dtype) for name, axis in plan.weights.items()
        }

    def weight(self, name: str, axis: int) -> onnx.NodeProto:
        """Return the node that dequantizes a weight stored in 8 bits."""
        scales = self._scales[name]
        return self._stored(
            name, weight_steps(self._values[name], scales, axis, self._levels), scales, axis
        )

    def bias(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield the node that dequantizes a bias stored as int32, and make ``node`` read it."""
        bias = self._plan.biases.get(node.output[0])
        if bias is None:
            return
        name = f"{node.output[0]}_bias"  # two nodes may share a bias, with different scales
        scales = self._scales[bias.weight] * self._roundings[bias.tensor].scale
        node.input[2] = dequantized(name)
        yield self._stored(name, bias_steps(self._values[bias.name], scales), scales, 0)

    def pairs(self, names: Sequence[str]) -> Iterator[onnx.NodeProto]:
        """Yield the Q/DQ pair of each of ``names`` that the plan rounds."""
        for name in names:
            if name in self._plan.tensors:
                rounding = self._roundings[name]
                constants = self._add_rounding(name, rounding.scale, rounding.zero_point)
                yield helper.make_node(
                    "QuantizeLinear", [name, *constants], [quantized(name)], f"{name}/quantize"
                )
                yield _dequantize(name, constants, dequantized(name))

    def move(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield a node rewritten to move 8 bits, and the one that dequantizes its output."""
        name, origin = node.output[0], self._plan.moves[node.output[0]]
        constants = _rounding_names(origin)
        node.input[0] = quantized(node.input[0])
        node.output[0] = quantized(name)
        if node.op_type == "Pad":
            node.input[:] = [*node.input, ""][:3] + list(node.input[3:])
            node.input[2] = constants[1]
        yield node
        yield _dequantize(name, constants, name)

    def _weight_scales(self, name: str, axis: int, dtype: np.dtype[Any]) -> NDArray[np.float32]:
        """Return scales that are also large enough for the channels' biases to fit into int32."""
        scales = weight_scales(self._values[name], axis, dtype, self._levels)
        for bias in self._plan.biases.values():
            if bias.weight == name:
                tensor = self._roundings[bias.tensor]
                least = scales_for_bias(self._values[bias.name], tensor)
                scales = np.maximum(scales, least)
        return scales

    def _stored(
        self, name: str, steps: NDArray[Any], scales: NDArray[np.float32], axis: int
    ) -> onnx.NodeProto:
        """Add a constant as integers, and return the node that dequantizes it."""
        add_constant(self._graph, quantized(name), steps)
        constants = self._add_rounding(name, scales, np.zeros(len(scales), steps.dtype))
        return _dequantize(name, constants, dequantized(name), axis=axis)

    def _add_rounding(
        self, name: str, scale: NDArray[Any], zero_point: NDArray[Any]
    ) -> tuple[str, str]:
        names = _rounding_names(name)
        for constant, value in zip(names, (scale, zero_point), strict=True):
            add_constant(self._graph, constant, value)
        return names


def _rounding_names(name: str) -> tuple[str, str]:
    """Return the names of a tensor's scale and zero point."""
    return f"{name}_scale", f"{name}_zero_point"


def _dequantize(
    name: str, constants: tuple[str, str], output: str, axis: int | None = None
) -> onnx.NodeProto:
    """Return the node that makes a tensor's form in 8 bits real numbers again."""
    inputs = [quantized(name), *constants]
    return helper.make_node("DequantizeLinear", inputs, [output], f"{name}/dequantize", axis=axis)


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
