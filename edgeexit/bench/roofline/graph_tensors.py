"""Shapes and sizes of an ONNX graph's tensors at batch 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a report is read without it
    from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

SMALL = 1024  # bytes; larger initializers hold no shapes, so shape inference needs no values

TensorSize = tuple[tuple[int, ...], int]
"""Shape, and bits per value."""


def constant_bytes(graph: GraphProto) -> dict[str, int]:
    """Return the bytes of every initializer and Constant."""
    found = {tensor.name: _tensor_bytes(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            values = [a.t for a in node.attribute if a.name == "value"]
            found[node.output[0]] = sum(map(_tensor_bytes, values))
    return found


def _tensor_bytes(tensor: TensorProto) -> int:
    return int(math.prod(tensor.dims)) * _item_bits(tensor.data_type) // 8


def _item_bits(data_type: int) -> int:
    import onnx
    from onnx import TensorProto

    if data_type in (TensorProto.INT4, TensorProto.UINT4):
        return 4
    itemsize: int = onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize
    return 8 * itemsize


def tensor_sizes(
    model: ModelProto, weights: dict[str, int]
) -> dict[str, tuple[tuple[int, ...], int]]:
    """Return shape and bits per value of every tensor whose shape is known, at batch 1."""
    import onnx

    light = _without_values(model, weights)
    inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    known: dict[str, TensorSize] = {
        tensor.name: (tuple(tensor.dims), _item_bits(tensor.data_type))
        for tensor in inferred.initializer
    }
    for info in (*inferred.input, *inferred.value_info, *inferred.output):
        tensor_type = info.type.tensor_type
        dims = tensor_type.shape.dim
        if tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shape = tuple(dim.dim_value for dim in dims)
            known[info.name] = shape, _item_bits(tensor_type.elem_type)
    return known


def _without_values(model: ModelProto, weights: dict[str, int]) -> ModelProto:
    """Return the model at batch 1, with large initializers as inputs, since only shapes matter."""
    from onnx import helper

    graph = model.graph
    named = {tensor.name for tensor in graph.initializer}
    inputs = [_at_batch_1(info) for info in graph.input if info.name not in named]
    kept = []
    for tensor in graph.initializer:
        if weights[tensor.name] <= SMALL:
            kept.append(tensor)
        else:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            inputs.append(info)
    outputs = [
        helper.make_tensor_value_info(info.name, info.type.tensor_type.elem_type, None)
        for info in graph.output
    ]
    bare = helper.make_graph(graph.node, graph.name, inputs, outputs, kept)
    return helper.make_model(bare, opset_imports=model.opset_import, ir_version=model.ir_version)


def _at_batch_1(info: ValueInfoProto) -> ValueInfoProto:
    """Return the input with 1 in place of its dynamic size."""
    import onnx

    fixed = onnx.ValueInfoProto()
    fixed.CopyFrom(info)
    for dim in fixed.type.tensor_type.shape.dim:
        if not dim.HasField("dim_value"):
            dim.dim_value = 1
    return fixed
