"""Multiply-accumulates of an ONNX graph, by the paper's definition: see :mod:`edgeexit.cost`.

Convolutions, fully connected layers and matrix products are counted. Elementwise operators,
normalization, pooling, resampling and data movement are not. All other operators are reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import helper

_LEFT_OUT = """
    Abs Acos Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Celu Clip
    Concat Constant ConstantOfShape Cos CumSum DepthToSpace Div Dropout Elu Equal Erf Exp Expand
    EyeLike Flatten Floor Gather GatherElements GatherND Gelu GlobalAveragePool GlobalLpPool
    GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish
    Identity InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log
    LogSoftmax LpNormalization LpPool Max MaxPool Mean Min Mish Mod Mul Neg NonZero Not OneHot Or
    PRelu Pad Pow RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round
    ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign
    SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu
    Unsqueeze Upsample Where Xor
"""
LEFT_OUT = frozenset(_LEFT_OUT.split())


@dataclass(frozen=True, slots=True)
class GraphMacs:
    """Multiply-accumulates for one image, and the names of uncounted operators, sorted."""

    macs: int
    uncounted: tuple[str, ...]


def count_macs(content: bytes) -> GraphMacs:
    """Count a serialized graph whose inputs have one dynamic dimension, the batch."""
    model = onnx.load_model_from_string(content)
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.dim_value = 1
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes: dict[str, tuple[int, ...]] = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            if all(dim.HasField("dim_value") for dim in dims):
                shapes[value.name] = tuple(dim.dim_value for dim in dims)
    total, uncounted = 0, set()
    for node in graph.node:
        if node.op_type in LEFT_OUT and not node.domain:
            continue
        macs = _macs(node, shapes)
        total += macs or 0
        if macs is None:
            uncounted.add(node.op_type)
    return GraphMacs(total, tuple(sorted(uncounted)))


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int | None:
    """Return the MACs of a node, or None if unknown."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return None
    known = [shapes.get(name) for name in (*node.input[:2], node.output[0])]
    if None in known:
        return None
    given, weight, result = (shape or () for shape in known)
    attributes: dict[str, Any] = {i.name: helper.get_attribute_value(i) for i in node.attribute}
    if node.op_type == "Conv":  # weight (out, in / groups, *kernel)
        return math.prod(result) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":  # weight (in, out / groups, *kernel)
        return math.prod(given) * math.prod(weight[1:])
    if node.op_type == "Gemm":
        return math.prod(result) * given[0 if attributes.get("transA", 0) else 1]
    return math.prod(result or (1,)) * given[-1]
