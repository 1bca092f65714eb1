"""Quantization for TensorRT: signed, symmetric, biases in floating point.

Inputs and weights of convolutions and linear layers are rounded, and the shortcut of every residual
addition: its other input comes from a convolution, which TensorRT then fuses with addition and
ReLU. SE gates, softmax and the exit's gate stay in floating point.
"""

from __future__ import annotations

import onnx
from edgeexit_runtime.bundle.quantization_entry import GPU, TargetEntry

from edgeexit.export.graphs.view import (
    FEATURE_MAP_RANK,
    GraphView,
    excitation_nodes,
    pooled_tensors,
)
from edgeexit.export.int8.nodes import QuantizationPlan
from edgeexit.export.int8.rounding import signed_symmetric
from edgeexit.export.int8.targets.base import TARGETS, QuantizationTarget


def plan_tensorrt(model: onnx.ModelProto) -> QuantizationPlan:
    """Return the plan of an exported graph for TensorRT."""
    view = GraphView(model)
    floating = excitation_nodes(view)
    pooled = pooled_tensors(view)
    weights: dict[str, int] = {}
    tensors: dict[str, None] = {}  # an ordered set
    edges: set[tuple[str, int]] = set()
    for node in view.nodes:
        if node.output[0] in floating:
            continue
        axis = view.channel_axis(node)
        if axis is not None:
            weights[node.input[1]] = axis
            edges.add((node.output[0], 1))
        elif not _is_residual(node, view, pooled):
            continue
        position = 0 if axis is not None else _shortcut(node, view)
        edges.add((node.output[0], position))
        tensors[node.input[position]] = None
    return QuantizationPlan(weights, tuple(tensors), frozenset(edges))


def _is_residual(node: onnx.NodeProto, view: GraphView, pooled: frozenset[str]) -> bool:
    """Whether a node adds two feature maps."""
    return (
        node.op_type == "Add"
        and node.input[0] != node.input[1]
        and all(
            name not in view.initializers
            and name not in pooled
            and len(view.shape(name)) == FEATURE_MAP_RANK
            for name in node.input
        )
    )


def _shortcut(node: onnx.NodeProto, view: GraphView) -> int:
    """Return the position of the input that is no convolution's output; 1 if both are."""
    for position in (1, 0):
        producer = view.producers.get(node.input[position])
        if producer is None or producer.op_type != "Conv":
            return position
    return 1


def _keep(model: onnx.ModelProto) -> None:
    """TensorRT needs no other operators."""


TARGETS.register("tensorrt")(
    QuantizationTarget(
        entry=TargetEntry(
            name="tensorrt",
            engine=GPU,
            assumes="an engine that computes signed symmetric 8 bits between Q/DQ nodes",
            elsewhere="CPUs compute most layers of it in FP32 and round besides, the plain "
            "ResNet-18 in 1.3 of its FP32 time; export with --target cpu",
        ),
        says="convolutions, linear layers, residual additions",
        fallbacks=("fp32", "fp16"),
        prepare=_keep,
        plan=plan_tensorrt,
        rounding=signed_symmetric,
        crosses=False,
    )
)
