"""Measured peak rates of this machine, on the same provider, threads and precision.

**MACs per second**: a product of two square matrices, the second one constant like weights, in
the precision of the bundle's convolutions; the fastest of several sizes.

**Bytes per second** depend on where the data lies, so they are measured with working sets of
several sizes, the largest beyond the last-level cache (the cache-aware roofline of Ilic, Pratas
and Sousa, IEEE Computer Architecture Letters 13, 2014). Caches hold activations that were just
written, so cached working sets are measured with alternating ``Abs`` and ``Neg`` of a tensor, which
read and write. Weights come from memory, so the uncached working set is measured with products of a
vector with constant matrices, which read like a classifier. Both are FP32.

All are ONNX graphs that the session's backend loads like the bundle's own. They are interleaved
with the parts and paths, so that they meet the machine in the same state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edgeexit_runtime import Session
from edgeexit_runtime.backends.base import BareGraphs
from edgeexit_runtime.bundle.manifest import GraphEntry, TensorInfo
from edgeexit_runtime.timing.calls import MS_PER_S, time_call
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from edgeexit.bench.results.roofline import Bandwidth, Peaks
from edgeexit.errors import BackendError
from edgeexit.statistics.percentiles import p10

MATRIX_SIZES = (128, 256, 512)
CACHED_BYTES = (256 * 2**10, 4 * 2**20)
UNCACHED_BYTES = 128 * 2**20  # at least, and four times the last-level cache
MOST_BYTES = 2**30  # an ONNX file has less than 2 GiB, and devices have little memory
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
OPERATORS = 8  # one after another in one call: passes over a tensor, or products of a vector
OPSET, IR_VERSION = 18, 9

Graph = tuple[list[NodeProto], Mapping[str, NDArray[Any]]]
"""The nodes of a graph from ``x`` to ``y``, and its initializers."""


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


class PeakRuns:
    """The loaded graphs; :meth:`call` runs each once, and :meth:`peaks` evaluates the times.

    Args:
        graphs: loads and runs them in the backend of the bundle's session.
        precision: ``fp32``, ``fp16`` or ``int8``.
    """

    def __init__(self, graphs: BareGraphs, precision: str) -> None:
        self.device = graphs.device
        self.precision = precision
        self._kernels = [
            *(matrix_kernel(graphs, size, precision) for size in MATRIX_SIZES),
            *(element_kernel(graphs, size) for size in CACHED_BYTES),
            vector_kernel(graphs, uncached_bytes()),
        ]

    def call(self) -> tuple[float, ...]:
        """Run every graph once; return the milliseconds of each."""
        # kernels return when the device is done, so there is nothing to wait for
        return tuple([time_call(kernel.call, lambda: None)[0] for kernel in self._kernels])

    def peaks(self, times_ms: Sequence[Sequence[float]]) -> Peaks:
        """Return the peak rates from the times that calls of :meth:`call` returned."""
        rates = [
            (kernel.size, kernel.amount / p10(calls_ms) * MS_PER_S)
            for kernel, calls_ms in zip(self._kernels, zip(*times_ms, strict=True), strict=True)
        ]
        products, moves = rates[: len(MATRIX_SIZES)], rates[len(MATRIX_SIZES) :]
        matrix_size, macs_per_s = max(products, key=lambda product: product[1])
        bandwidths = tuple(Bandwidth(size, bytes_per_s) for size, bytes_per_s in moves)
        return Peaks(self.device, self.precision, macs_per_s, matrix_size, bandwidths)


def peak_runs(session: Session, precision: str) -> PeakRuns | str:
    """Return the peak graphs for a session's device, or the reason why there are none."""
    try:
        graphs = session.runner.bare_graphs()
    except BackendError as error:
        return f"the peak of {session.device} is not measured: {error}"
    try:
        return PeakRuns(graphs, precision)
    except (BackendError, MemoryError) as error:
        reason = str(error) or "out of memory"
        return f"the peak is not measured: its graphs cannot be loaded ({reason})"


def uncached_bytes(caches: Path = CACHES) -> int:
    """Return the size of a working set that fits into no cache that the system reports."""
    largest = 0
    for file in caches.glob("index*/size"):
        text = file.read_text(errors="replace").strip()
        number, unit = text[:-1], text[-1:]
        if number.isdigit() and unit in UNITS:
            largest = max(largest, int(number) * UNITS[unit])
    return min(max(UNCACHED_BYTES, 4 * largest), MOST_BYTES)


def matrix_kernel(graphs: BareGraphs, size: int, precision: str) -> Kernel:
    """Return a product of two (size, size) matrices."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(-1, 1, (size, size)).astype(np.float32)
    graph = PRODUCT_BY_PRECISION[precision](weights)
    return Kernel(size, size**3, _open(graphs, graph, (size, size)))


def vector_kernel(graphs: BareGraphs, working_set: int) -> Kernel:
    """Return products of (1, n) with several (n, n) matrices, together one working set."""
    side = math.isqrt(working_set // OPERATORS // 4)
    rng = np.random.default_rng(0)
    # all different: an engine may store equal ones once, and a cache might hold that one
    initializers = {
        f"weights{i}": rng.random((side, side), np.float32) / side for i in range(OPERATORS)
    }
    nodes = _chain([("MatMul", weights) for weights in initializers])
    call = _open(graphs, (nodes, initializers), (1, side))
    return Kernel(working_set, OPERATORS * 4 * (side * side + 2 * side), call)


def element_kernel(graphs: BareGraphs, working_set: int) -> Kernel:
    """Return repeated reads and writes of a whole tensor; an engine may alternate two buffers."""
    count = working_set // 2 // 4
    nodes = _chain([("Neg",), ("Abs",)] * (OPERATORS // 2))
    call = _open(graphs, (nodes, {}), (1, count))
    return Kernel(working_set, OPERATORS * 2 * 4 * count, call)


def _fp32_product(weights: NDArray[np.float32]) -> Graph:
    return _chain([("MatMul", "weights")]), {"weights": weights}


def _fp16_product(weights: NDArray[np.float32]) -> Graph:
    """As in an FP16 network, only the input and output are converted (images and logits)."""
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["half", "weights"], ["product"]),
        helper.make_node("Cast", ["product"], ["y"], to=TensorProto.FLOAT),
    ]
    return nodes, {"weights": weights.astype(np.float16)}


def _int8_product(weights: NDArray[np.float32]) -> Graph:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x8"]),
        helper.make_node("DequantizeLinear", ["x8", "scale", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["weights", "scale", "zero"], ["wq"]),
        helper.make_node("MatMul", ["xq", "wq"], ["product"]),
        helper.make_node("QuantizeLinear", ["product", "wide", "zero"], ["y8"]),
        helper.make_node("DequantizeLinear", ["y8", "wide", "zero"], ["y"]),
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


def _chain(steps: Sequence[tuple[str, ...]]) -> list[NodeProto]:
    """Return nodes from ``x`` to ``y``, each reading the one before.

    Args:
        steps: of each node the operator, and its other inputs.
    """
    tensors = ["x", *(f"x{i}" for i in range(1, len(steps))), "y"]
    return [
        helper.make_node(kind, [tensors[i], *more], [tensors[i + 1]])
        for i, (kind, *more) in enumerate(steps)
    ]


def _open(graphs: BareGraphs, graph: Graph, shape: tuple[int, int]) -> Callable[[], object]:
    """Return a call of a graph; ``x`` and ``y`` are float32 and bound on its device."""
    nodes, initializers = graph
    content = helper.make_model(
        helper.make_graph(
            nodes,
            "peak",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(array, name) for name, array in initializers.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    x, y = (TensorInfo(name, "float32", shape[1:]) for name in ("x", "y"))
    entry = GraphEntry("peak.onnx", "", 0, (x,), (y,))
    values = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    return graphs.bind(entry, content.SerializeToString(), {"x": values})
