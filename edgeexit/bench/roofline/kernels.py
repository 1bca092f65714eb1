"""ONNX graphs that repeat one operation, to measure the machine's peaks.

The session's backend loads them like the bundle's own graphs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from edgeexit_runtime.backends.base import BareGraphs
from edgeexit_runtime.bundle.manifest import GraphEntry, TensorInfo
from numpy.typing import NDArray

if TYPE_CHECKING:  # a report is read without it
    from onnx import NodeProto

    Graph = tuple[list[NodeProto], Mapping[str, NDArray[Any]]]

PASSES = 8  # over a tensor in one call
PRODUCTS = 8  # of a vector in one call
OPSET, IR_VERSION = 18, 9
FLOAT, FLOAT16 = 1, 10  # onnx.TensorProto's


@dataclass(frozen=True, slots=True)
class Kernel:
    """A graph that is timed.

    Attributes:
        size: of the matrix, or bytes of the working set.
        amount: MACs or bytes moved by one call.
        call: runs it once, and returns when it is done.
    """

    size: int
    amount: int
    call: Callable[[], object]


def matrix_kernel(graphs: BareGraphs, size: int, precision: str) -> Kernel:
    """Return a product of two (size, size) matrices."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(-1, 1, (size, size)).astype(np.float32)
    nodes, initializers = PRODUCT_BY_PRECISION[precision](weights)
    call = _open(graphs, nodes, initializers, (size, size), (size, size))
    return Kernel(size, size**3, call)


def vector_kernel(graphs: BareGraphs, working_set: int) -> Kernel:
    """Return products of (1, n) with several (n, n) matrices, together one working set."""
    side = math.isqrt(working_set // PRODUCTS // 4)
    rng = np.random.default_rng(0)
    # all different: an engine may store equal ones once, and a cache might hold that one
    initializers = {
        f"weights{i}": rng.random((side, side), np.float32) / side for i in range(PRODUCTS)
    }
    names = ["x", *(f"x{i}" for i in range(1, PRODUCTS)), "y"]
    nodes = [_node("MatMul", [names[i], f"weights{i}"], [names[i + 1]]) for i in range(PRODUCTS)]
    call = _open(graphs, nodes, initializers, (1, side), (1, side))
    return Kernel(working_set, PRODUCTS * 4 * (side * side + 2 * side), call)


def element_kernel(graphs: BareGraphs, working_set: int) -> Kernel:
    """Return repeated reads and writes of a whole tensor; an engine may alternate two buffers."""
    count = working_set // 2 // 4
    names = ["x", *(f"x{i}" for i in range(1, PASSES)), "y"]
    nodes = [_node(("Neg", "Abs")[i % 2], [names[i]], [names[i + 1]]) for i in range(PASSES)]
    call = _open(graphs, nodes, {}, (1, count), (1, count))
    return Kernel(working_set, PASSES * 2 * 4 * count, call)


def _fp32_product(weights: NDArray[np.float32]) -> Graph:
    return [_node("MatMul", ["x", "weights"], ["y"])], {"weights": weights}


def _fp16_product(weights: NDArray[np.float32]) -> Graph:
    """As in an FP16 network, only the input and output are converted (images and logits)."""
    nodes = [
        _node("Cast", ["x"], ["half"], to=FLOAT16),
        _node("MatMul", ["half", "weights"], ["product"]),
        _node("Cast", ["product"], ["y"], to=FLOAT),
    ]
    return nodes, {"weights": weights.astype(np.float16)}


def _int8_product(weights: NDArray[np.float32]) -> Graph:
    nodes = [
        _node("QuantizeLinear", ["x", "scale", "zero"], ["x8"]),
        _node("DequantizeLinear", ["x8", "scale", "zero"], ["xq"]),
        _node("DequantizeLinear", ["weights", "scale", "zero"], ["wq"]),
        _node("MatMul", ["xq", "wq"], ["product"]),
        _node("QuantizeLinear", ["product", "wide", "zero"], ["y8"]),
        _node("DequantizeLinear", ["y8", "wide", "zero"], ["y"]),
    ]
    return nodes, {
        "weights": np.rint(127 * weights).astype(np.int8),
        "scale": np.array(1 / 127, np.float32),
        "wide": np.array(len(weights) / 127, np.float32),
        "zero": np.array(0, np.int8),
    }


PRODUCT_BY_PRECISION: dict[str, Callable[[NDArray[np.float32]], Graph]] = {
    "fp32": _fp32_product,
    "fp16": _fp16_product,
    "int8": _int8_product,
}


def _node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> NodeProto:
    from onnx import helper

    return helper.make_node(kind, inputs, outputs, **attributes)


def _open(
    graphs: BareGraphs,
    nodes: list[NodeProto],
    initializers: Mapping[str, NDArray[Any]],
    read: tuple[int, int],
    written: tuple[int, int],
) -> Callable[[], object]:
    """Return a call of a graph from ``x`` to ``y``, both float32 and bound on its device."""
    from onnx import helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "peak",
        [helper.make_tensor_value_info("x", FLOAT, list(read))],
        [helper.make_tensor_value_info("y", FLOAT, list(written))],
        [numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    content = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    x, y = TensorInfo("x", "float32", read[1:]), TensorInfo("y", "float32", written[1:])
    entry = GraphEntry("peak.onnx", "", 0, (x,), (y,))
    values = np.random.default_rng(0).uniform(-1, 1, read).astype(np.float32)
    return graphs.bind(entry, content.SerializeToString(), {"x": values})
