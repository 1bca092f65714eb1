"""ONNX graph -> the MACs of its operators, and the bytes of weights and activations they move.

Counting rules, for one call of a graph at batch 1. Activations grow with the batch, weights do not.

**An operator** is a node together with the nodes that engines fuse into it. A node is fused into
the previous one if no other node reads the tensor between them, which is then never written:

- an element-wise node after a convolution or matrix product, with one operand (:data:`UNARY`), or
  with two (:data:`BINARY`) if the result is not larger: the other operand is read in addition;
- ``QuantizeLinear`` after any node: the quantized tensor is what is written.

**Activations**: each operator reads each of its inputs once and writes each of its outputs once,
by the size of the tensor's own type: 4 bytes for FP32, 2 for FP16, 1 for INT8. Caches are
ignored: reading a tensor that was just written counts in full.

**Weights**: each initializer once per call, at the first operator that reads it, by its own type:
INT8 weights in front of a ``DequantizeLinear`` count 1 byte. A tensor computed only from
initializers counts as one.

**Nothing is moved** by views (:data:`VIEWS`) and by ``DequantizeLinear``: nodes after it read the
quantized tensor.

**MACs** are those of convolutions and matrix products, in any data type.

An engine may fuse less, and then moves more: ONNX Runtime's CPU provider lacks many FP16 kernels
and converts to FP32 and back.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
from edgeexit_runtime.bundle.folder import open_bundle
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, shape_inference

from edgeexit.bench.results.roofline import OperatorTraffic
from edgeexit.errors import BundleError

_UNARY = """
    Abs BatchNormalization Cast Celu Clip Elu Erf Exp Gelu HardSigmoid HardSwish LeakyRelu Mish Neg
    PRelu Relu Round Selu Sigmoid Softplus Sqrt Tanh
"""
UNARY = frozenset(_UNARY.split())
BINARY = frozenset({"Add", "Div", "Mul", "Sub"})
VIEWS = frozenset(
    {"DequantizeLinear", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
)
CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "ConvTranspose", "QLinearConv"})
PRODUCTS = frozenset({"FusedMatMul", "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"})
QUANTIZE = "QuantizeLinear"
SECOND_MATRIX = {"QLinearConv": 3, "QLinearMatMul": 3}  # index of that input, if it is not 1
SMALL = 1024  # bytes; larger initializers hold no shapes, so shape inference needs no values

Traffic = tuple[OperatorTraffic, ...]
"""The operators of one graph in the order of execution."""


def bundle_traffic(folder: str | Path) -> dict[str, Traffic]:
    """Return the traffic of every graph of a bundle by name, the plain backbone's last.

    Raises:
        BundleError: a file does not match the manifest, or the size of a tensor is unknown.
    """
    bundle = open_bundle(folder)
    return {
        name: graph_traffic(name, onnx.load_from_string(bundle.read(entry)))
        for name, entry in bundle.manifest.all_graphs().items()
    }


def graph_traffic(name: str, model: ModelProto) -> Traffic:
    """Count one graph, and change it; ``name`` is for errors.

    Raises:
        BundleError: the shape of a tensor that an operator reads or writes is unknown.
    """
    return tuple(_Count(name, model).operators())


@dataclass(slots=True)
class _Operator:
    """An operator while nodes are still being fused into it."""

    node: NodeProto
    reads: list[str]
    writes: list[str]
    macs: int


class _Count:
    """One pass over a graph's nodes."""

    def __init__(self, name: str, model: ModelProto) -> None:
        self._name = name
        self._nodes = list(model.graph.node)
        self._weights = _constant_bytes(model.graph)
        self._sizes = _tensor_sizes(model, self._weights)
        self._readers = Counter(tensor for node in self._nodes for tensor in node.input)
        self._readers.update(output.name for output in model.graph.output)
        self._alias: dict[str, str] = {}

    def operators(self) -> list[OperatorTraffic]:
        grown: list[_Operator] = []
        writer: dict[str, _Operator] = {}
        constant: dict[str, tuple[str, ...]] = {weight: (weight,) for weight in self._weights}
        for node in self._nodes:
            if node.output[0] in self._weights:  # a Constant
                continue
            inputs = [tensor for tensor in node.input if tensor]
            if all(tensor in constant for tensor in inputs):  # computed from weights alone
                roots = tuple(root for tensor in inputs for root in constant[tensor])
                constant.update(dict.fromkeys(node.output, roots))
                continue
            reads = [self._alias.get(tensor, tensor) for tensor in inputs]
            if node.op_type in VIEWS:
                self._alias[node.output[0]] = reads[0]
                self._readers[reads[0]] += self._readers[node.output[0]] - 1
                continue
            into = self._fuses_into(node, reads, writer)
            if into is None:
                into = _Operator(node, reads, [tensor for tensor in node.output if tensor], 0)
                into.macs = self._macs(node)
                grown.append(into)
            else:
                into.reads += [tensor for tensor in reads if tensor not in into.writes]
                into.writes = [node.output[0]]
            writer.update(dict.fromkeys(into.writes, into))
        seen: set[str] = set()
        return [self._finish(operator, constant, seen) for operator in grown]

    def _fuses_into(
        self, node: NodeProto, reads: list[str], writer: dict[str, _Operator]
    ) -> _Operator | None:
        for tensor in reads:
            before = writer.get(tensor)
            if before is None or self._readers[tensor] != 1 or len(before.writes) != 1:
                continue
            if node.op_type == QUANTIZE:
                return before
            computes = before.node.op_type in CONVOLUTIONS | PRODUCTS
            if computes and node.op_type in UNARY:
                return before
            same = self._count(node.output[0]) == self._count(tensor)
            if computes and node.op_type in BINARY and same:
                return before
        return None

    def _finish(
        self, operator: _Operator, constant: dict[str, tuple[str, ...]], seen: set[str]
    ) -> OperatorTraffic:
        weights, activations = 0, 0
        for tensor in dict.fromkeys(operator.reads):
            if tensor not in constant:
                activations += self._bytes(tensor)
                continue
            for root in constant[tensor]:
                weights += 0 if root in seen else self._weights[root]
                seen.add(root)
        activations += sum(
            self._bytes(tensor) for tensor in operator.writes if self._readers[tensor]
        )
        return OperatorTraffic(
            operator.writes[0], self._kind(operator.node), operator.macs, weights, activations
        )

    def _kind(self, node: NodeProto) -> str:
        if node.op_type not in CONVOLUTIONS:
            return node.op_type
        kernel = self._shape(_second_matrix(node))[2:]
        return f"{node.op_type} {'x'.join(map(str, kernel))}"

    def _macs(self, node: NodeProto) -> int:
        if node.op_type in CONVOLUTIONS:
            per_value = math.prod(self._shape(_second_matrix(node))[1:])
            counted = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
            return self._count(counted) * per_value
        if node.op_type in PRODUCTS:
            first = self._shape(node.input[0])
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            return self._count(node.output[0]) * (first[-2] if transposed else first[-1])
        return 0

    def _shape(self, tensor: str) -> tuple[int, ...]:
        return self._known(tensor)[0]

    def _count(self, tensor: str) -> int:
        return math.prod(self._shape(tensor))

    def _bytes(self, tensor: str) -> int:
        shape, item_bits = self._known(tensor)
        return math.prod(shape) * item_bits // 8

    def _known(self, tensor: str) -> tuple[tuple[int, ...], int]:
        if tensor not in self._sizes:
            raise BundleError(
                f"{self._name}: the shape of its tensor {tensor!r} is not known; export the bundle "
                "again, or report it: its traffic cannot be counted"
            )
        return self._sizes[tensor]


def _second_matrix(node: NodeProto) -> str:
    return str(node.input[SECOND_MATRIX.get(node.op_type, 1)])


def _constant_bytes(graph: GraphProto) -> dict[str, int]:
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
    if data_type in (TensorProto.INT4, TensorProto.UINT4):
        return 4
    item_bytes: int = helper.tensor_dtype_to_np_dtype(data_type).itemsize
    return 8 * item_bytes


def _tensor_sizes(
    model: ModelProto, weights: dict[str, int]
) -> dict[str, tuple[tuple[int, ...], int]]:
    """Return shape and bits per value of every tensor whose shape is known, at batch 1.

    The model's large initializers become inputs, since only shapes matter.
    """
    graph = model.graph
    listed = {info.name for info in graph.input}
    for index in reversed(range(len(graph.initializer))):
        tensor = graph.initializer[index]
        if weights[tensor.name] > SMALL:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.extend([] if tensor.name in listed else [info])
            del graph.initializer[index]
    for info in graph.input:
        for dim in info.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.dim_value = 1
    for info in graph.output:
        info.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    known = {
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
