"""Dynamic quantization of an exit's classifier for CPUs: 8-bit weights, inputs rounded per call.

A classifier on flattened features reads each weight once per image and computes next to nothing
with it, so a quarter of the bytes takes about a quarter of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from edgeexit_runtime.bundle.manifest import GATE_OUTPUTS
from numpy.typing import NDArray
from onnx import helper, numpy_helper

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


@dataclass(frozen=True, slots=True)
class Classifier:
    """The linear layer that computes an exit's logits, by the names of its tensors."""

    output: str
    inputs: str
    weight: str
    bias: str | None
    axis: int  # of the classes


def find_classifier(model: onnx.ModelProto) -> Classifier | None:
    """Return the last linear layer before the logits if it has :data:`MIN_WEIGHTS` or more."""
    view = GraphView(model)
    node = view.producers.get(GATE_OUTPUTS[0])
    while node is not None and node.op_type not in ("Gemm", "MatMul"):
        variables = view.variables(node)
        # a temperature, a bias or a reshape may follow the layer
        node = view.producers.get(variables[0]) if len(variables) == 1 else None
    if node is None or node.input[1] not in view.initializers:
        return None
    weight = view.initializers[node.input[1]]
    plain = node.op_type == "MatMul" or (
        not view.attribute(node, "transA", 0)
        and view.attribute(node, "alpha", 1.0) == view.attribute(node, "beta", 1.0) == 1.0
    )
    if not plain or len(weight.dims) != 2 or np.prod(weight.dims) < MIN_WEIGHTS:
        return None
    is_transposed = node.op_type == "Gemm" and view.attribute(node, "transB", 0)
    return Classifier(
        output=node.output[0],
        inputs=node.input[0],
        weight=node.input[1],
        bias=node.input[2] if len(node.input) > 2 and node.input[2] else None,
        axis=0 if is_transposed else 1,
    )


def quantize_classifier(model: onnx.ModelProto, classifier: Classifier) -> onnx.ModelProto:
    """Return the graph with its classifier in 8 bits.

    Args:
        model: FP32.
        classifier: result of :func:`find_classifier`.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    weight = next(tensor for tensor in graph.initializer if tensor.name == classifier.weight)
    quantized, scales = _in_8_bits(numpy_helper.to_array(weight), classifier.axis)
    name = classifier.weight
    graph.initializer.remove(weight)
    graph.initializer.extend(
        [
            numpy_helper.from_array(quantized, f"{name}_quantized"),
            numpy_helper.from_array(np.array(MIDDLE, np.uint8), f"{name}_zero_point"),
            numpy_helper.from_array(scales, f"{name}_scale"),
        ]
    )
    added = _nodes(classifier)
    position = next(
        index for index, node in enumerate(graph.node) if node.output[0] == classifier.output
    )
    del graph.node[position]
    for offset, node in enumerate(added):
        graph.node.insert(position + offset, node)
    return result


def _in_8_bits(weight: NDArray[np.float32], axis: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return a weight as (inputs, classes) uint8 around :data:`MIDDLE`, and its scales."""
    matrix = weight.T if axis == 0 else weight
    scales = weight_scales(matrix, 1, np.dtype(np.float32))
    steps = np.clip(np.rint(matrix / scales), -LEVELS, LEVELS)
    return np.ascontiguousarray(steps + MIDDLE).astype(np.uint8), scales


def _nodes(classifier: Classifier) -> list[onnx.NodeProto]:
    """Return the product in the form that onnxruntime runs as one DynamicQuantizeMatMul."""
    name, output = classifier.weight, classifier.output
    product = output if classifier.bias is None else f"{output}_product"
    rounded = [f"{output}_{part}" for part in ("input", "input_scale", "input_zero_point")]
    nodes = [
        helper.make_node("DynamicQuantizeLinear", [classifier.inputs], rounded),
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
    if classifier.bias is not None:
        nodes.append(helper.make_node("Add", [product, classifier.bias], [output]))
    for node in nodes:
        node.name = f"{node.output[0]}/{node.op_type}"
    return nodes
