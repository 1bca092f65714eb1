"""Dynamic quantization of an exit's classifier for CPUs: 8-bit weights, inputs rounded per call.

A classifier on flattened features reads each weight once per image and computes next to nothing
with it, so a quarter of the bytes takes about a quarter of the time.
"""

from __future__ import annotations

import numpy as np
import onnx
from edgeexit_runtime.bundle.manifest import GATE_OUTPUTS
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
    name = weight.name
    graph.initializer.remove(weight)
    add_constant(graph, f"{name}_quantized", quantized)
    add_constant(graph, f"{name}_zero_point", np.array(MIDDLE, np.uint8))
    add_constant(graph, f"{name}_scale", scales)
    nodes: list[onnx.NodeProto] = []
    for node in view.nodes:
        nodes += _nodes(classifier) if node.output[0] == classifier.output[0] else [node]
    replace_nodes(graph, nodes)


def _nodes(classifier: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return the product in the form that onnxruntime runs as one DynamicQuantizeMatMul."""
    features, name, *bias = filter(None, classifier.input)  # an omitted bias may be an empty name
    output = classifier.output[0]
    product = f"{output}_product" if bias else output
    rounded = [f"{output}_{part}" for part in ("input", "input_scale", "input_zero_point")]
    nodes = [
        helper.make_node("DynamicQuantizeLinear", [features], rounded),
        helper.make_node(
            "MatMulInteger",
            [rounded[0], f"{name}_quantized", rounded[2], f"{name}_zero_point"],
            [f"{output}_sum"],
        ),
        helper.make_node(
            "Cast", [f"{output}_sum"], [f"{output}_float_sum"], to=onnx.TensorProto.FLOAT
        ),
        helper.make_node("Mul", [rounded[1], f"{name}_scale"], [f"{output}_scale"]),
        helper.make_node("Mul", [f"{output}_float_sum", f"{output}_scale"], [product]),
    ]
    if bias:
        nodes.append(helper.make_node("Add", [product, *bias], [output]))
    for node in nodes:
        node.name = f"{node.output[0]}/{node.op_type}"
    return nodes
