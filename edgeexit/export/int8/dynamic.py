"""Dynamic quantization of an exit's classifier for CPUs: 8-bit weights, inputs rounded per image.

A classifier on flattened features reads each weight once per image and computes next to nothing
with it, so a quarter of the bytes takes about a quarter of the time. Every image has a range of its
own, so that its logits do not depend on the rest of the batch; ONNX's DynamicQuantizeLinear has one
range for the whole batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from edgeexit_runtime.bundle.manifest import GATE_OUTPUTS
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgeexit.export.graphs.editing import add_constant, replace_nodes
from edgeexit.export.graphs.view import GraphView
from edgeexit.export.int8.rounding import LEVELS, weight_scales

MIN_WEIGHTS = 2**16
"""Fewest weights that are quantized.

Smaller matrices stay in the cache, and rounding their input takes the time that is saved. Measured
on one core of an EPYC with AVX2, inputs x classes: 4,096 x 10 takes the same time as in FP32, 2,048
x 100 takes 0.6 of it, 25,088 x 1,000 0.2.
"""

MIDDLE = 128
"""Zero point of the weights, which are uint8: with int8, CPUs without VNNI overflow 16 bits."""

LAYER = (
    ("ReduceMin", "features last_axis", "least"),
    ("Sub", "features least", "above"),
    ("ReduceMax", "above last_axis", "range"),
    ("Mul", "range per_level", "even_step"),
    ("ReduceSum", "above last_axis", "total"),
    ("Mul", "total zero", "zero_or_nan"),
    ("Sum", "even_step least_step zero_or_nan", "step"),
    ("Div", "above step", "quotient"),
    ("Round", "quotient", "rounded"),
    ("Cast", "rounded", "levels"),
    ("MatMulInteger", "levels quantized levels_zero_point zero_point", "sum"),
    ("Cast", "sum", "float_sum"),
    ("Mul", "float_sum step", "by_step"),
    ("Mul", "by_step scale", "above_product"),
    ("Mul", "least column_sums", "least_product"),
    ("Add", "above_product least_product", "product"),
)
"""Operator, inputs and output of each node of a classifier in 8 bits.

With an image's least feature l and step s, features x (N, inputs) are rounded to levels
q = (x - l) / s; with rounded weights W, x W is then s (q W) + l (the sums of W's columns).
A feature that is NaN becomes 0 in the cast, and the engines' minimum and maximum skip it; the sum
of all, times 0, makes the step NaN.

A QuantizeLinear with a scale per image would be one node instead of three, but OpenVINO 2026.4
computes it wrong for batches.
"""

CASTS: dict[str, dict[str, Any]] = {
    "levels": {"to": onnx.TensorProto.UINT8},
    "float_sum": {"to": onnx.TensorProto.FLOAT},
}

CONSTANTS: dict[str, NDArray[Any]] = {
    "last_axis": np.array([-1], np.int64),
    "per_level": np.array(1 / 255, np.float32),
    "zero": np.array(0, np.float32),
    "least_step": np.array(np.finfo(np.float32).tiny, np.float32),  # where all features are equal
    "levels_zero_point": np.array(0, np.uint8),
    "zero_point": np.array(MIDDLE, np.uint8),
}


def find_classifier(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """Return the last linear layer before the logits if it has :data:`MIN_WEIGHTS` or more."""
    view = GraphView(model)
    node = view.producers.get(GATE_OUTPUTS[0])
    while node is not None and node.op_type not in ("Gemm", "MatMul"):
        variables = view.variables(node)
        # a temperature, a bias or a reshape may follow the layer
        node = view.producers.get(variables[0]) if len(variables) == 1 else None
    if node is None or view.channel_axis(node) is None:
        return None
    plain = node.op_type == "MatMul" or (
        not view.attribute(node, "transA", 0)
        and view.attribute(node, "alpha", 1.0) == view.attribute(node, "beta", 1.0) == 1.0
    )
    is_large = np.prod(view.initializers[node.input[1]].dims) >= MIN_WEIGHTS
    return node if plain and is_large else None


def quantize_classifier(model: onnx.ModelProto, classifier: onnx.NodeProto) -> None:
    """Replace the classifier of a graph by one in 8 bits.

    Args:
        model: FP32.
        classifier: result of :func:`find_classifier`.
    """
    graph, view = model.graph, GraphView(model)
    weight = view.initializers[classifier.input[1]]
    matrix = numpy_helper.to_array(weight)  # (inputs, classes)
    if view.channel_axis(classifier) == 0:
        matrix = matrix.T
    scales = weight_scales(matrix, 1, np.dtype(np.float32))
    steps = np.clip(np.rint(matrix / scales), -LEVELS, LEVELS)
    quantized = np.ascontiguousarray(steps + MIDDLE).astype(np.uint8)
    graph.initializer.remove(weight)
    constants = CONSTANTS | {
        "quantized": quantized,
        "scale": scales,
        "column_sums": (steps.sum(0, dtype=np.float64) * scales).astype(np.float32),
    }
    names = {
        part: add_constant(graph, f"{weight.name}_{part}", value)
        for part, value in constants.items()
    }
    nodes: list[onnx.NodeProto] = []
    for node in view.nodes:
        nodes += _nodes(classifier, names) if node.output[0] == classifier.output[0] else [node]
    replace_nodes(graph, nodes)


def _nodes(classifier: onnx.NodeProto, constants: dict[str, str]) -> list[onnx.NodeProto]:
    """Return the nodes of :data:`LAYER` and the bias; constants have their names in the graph."""
    features, _, *bias = filter(None, classifier.input)  # an omitted bias may be an empty name
    output = classifier.output[0]
    names = {**constants, "features": features}
    nodes = []
    for operator, inputs, result in LAYER:
        names[result] = output if result == "product" and not bias else f"{output}_{result}"
        read = [names[word] for word in inputs.split()]
        attributes = CASTS.get(result, {})
        nodes.append(helper.make_node(operator, read, [names[result]], **attributes))
    if bias:
        nodes.append(helper.make_node("Add", [names["product"], *bias], [output]))
    for node in nodes:
        node.name = f"{node.output[0]}/{node.op_type}"
    return nodes
