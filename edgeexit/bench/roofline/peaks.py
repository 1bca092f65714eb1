"""What this machine does at best on the same provider, threads and precision, measured.

**MACs per second**: a product of two square matrices, the second one constant as weights are, in
the precision of the bundle's convolutions; of several sizes the fastest.

**Bytes per second** depend on where the data lies, so they are measured with working sets of
several sizes, the largest beyond the last-level cache (the cache-aware roofline of Ilic, Pratas
and Sousa, IEEE Computer Architecture Letters 13, 2014). What fits into a cache is what was written
just before, so ``Abs`` and ``Neg`` of a tensor in turns are run over it, which read and write. What
comes from memory are weights, so products of a vector with constant matrices are run over it,
which read as a classifier does. Both are FP32.

All are ONNX graphs that the session's backend opens as it opens the bundle's own. They take their
turns between the parts and paths, so that they see the machine in the same state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from edgeexit_runtime import Session
from edgeexit_runtime.backends.base import BareGraphs
from edgeexit_runtime.bundle.manifest import GraphEntry, TensorInfo
from edgeexit_runtime.timing.calls import MS_PER_S, time_call
from numpy.typing import NDArray

from edgeexit.bench.results.roofline import Bandwidth, Peaks
from edgeexit.errors import BackendError
from edgeexit.statistics.percentiles import p10

if TYPE_CHECKING:  # a report is read without it
    from onnx import NodeProto

    Graph = tuple[list[NodeProto], Mapping[str, NDArray[Any]]]

MATRIX_SIZES = (128, 256, 512)
CACHED_BYTES = (256 * 2**10, 4 * 2**20)
UNCACHED_BYTES = 128 * 2**20  # at least, and four times the last-level cache
MOST_BYTES = 2**30  # an ONNX file has less than 2 GiB, and devices have little memory
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
PASSES = 8  # over a tensor in one call
PRODUCTS = 8  # of a vector in one call
MACS, BYTES = "macs", "bytes"
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
OPSET, IR_VERSION = 18, 9
FLOAT, FLOAT16 = 1, 10  # onnx.TensorProto's


@dataclass(frozen=True, slots=True)
class _Kernel:
    """A graph that is timed, and how much of what one call of it does."""

    kind: str  # MACS or BYTES
    size: int  # of the matrix, or of the working set
    amount: int
    call: Callable[[], object]


class PeakRuns:
    """The graphs, loaded; :meth:`call` runs each once, and :meth:`peaks` sums up the times.

    Args:
        graphs: runs them, as the backend of the bundle's session does.
        precision: ``fp32``, ``fp16`` or ``int8``.
    """

    def __init__(self, graphs: BareGraphs, precision: str) -> None:
        self.device = graphs.device
        self.precision = precision
        self._kernels = [
            *(_matrix_kernel(graphs, size, precision) for size in MATRIX_SIZES),
            *(_element_kernel(graphs, size) for size in CACHED_BYTES),
            _vector_kernel(graphs, uncached_bytes()),
        ]

    def call(self) -> tuple[float, ...]:
        """Run every graph once; return the milliseconds of each."""
        # they return when the device is done: nothing is left to wait for
        return tuple([time_call(kernel.call, lambda: None)[0] for kernel in self._kernels])

    def peaks(self, times_ms: Sequence[Sequence[float]]) -> Peaks:
        """Sum up what calls of :meth:`call` returned."""
        p10_ms = map(p10, zip(*times_ms, strict=True))
        rates = [
            (kernel, kernel.amount / ms * MS_PER_S)
            for kernel, ms in zip(self._kernels, p10_ms, strict=True)
        ]
        products = {kernel.size: rate for kernel, rate in rates if kernel.kind == MACS}
        best = max(products, key=lambda size: products[size])
        bandwidths = tuple(
            Bandwidth(kernel.size, rate) for kernel, rate in rates if kernel.kind == BYTES
        )
        return Peaks(self.device, self.precision, products[best], best, bandwidths)


def uncached_bytes(caches: Path = CACHES) -> int:
    """Return the size of a working set that no cache holds."""
    return min(max(UNCACHED_BYTES, 4 * last_level_cache_bytes(caches)), MOST_BYTES)


def last_level_cache_bytes(caches: Path = CACHES) -> int:
    """Return the size of the largest cache that the system tells of; 0 where it does not."""
    found = [0]
    for file in caches.glob("index*/size"):
        text = file.read_text(errors="replace").strip()
        number, unit = text[:-1], text[-1:]
        if number.isdigit() and unit in UNITS:
            found.append(int(number) * UNITS[unit])
    return max(found)


def _matrix_kernel(graphs: BareGraphs, size: int, precision: str) -> _Kernel:
    """(size, size) times (size, size)."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(-1, 1, (size, size)).astype(np.float32)
    nodes, initializers = _BY_PRECISION[precision](weights)
    call = _open(graphs, nodes, initializers, (size, size), (size, size))
    return _Kernel(MACS, size, size**3, call)


def _vector_kernel(graphs: BareGraphs, working_set: int) -> _Kernel:
    """(1, n) times (n, n), again and again with other weights: all of them are one working set."""
    side = math.isqrt(working_set // PRODUCTS // 4)
    rng = np.random.default_rng(0)
    # all different: an engine may keep equal ones once, and a cache might hold that one
    initializers = {
        f"weights{i}": rng.random((side, side), np.float32) / side for i in range(PRODUCTS)
    }
    names = ["x", *(f"x{i}" for i in range(1, PRODUCTS)), "y"]
    nodes = [_node("MatMul", [names[i], f"weights{i}"], [names[i + 1]]) for i in range(PRODUCTS)]
    call = _open(graphs, nodes, initializers, (1, side), (1, side))
    return _Kernel(BYTES, working_set, PRODUCTS * 4 * (side * side + 2 * side), call)


def _element_kernel(graphs: BareGraphs, working_set: int) -> _Kernel:
    """Every value of a tensor read and written, again and again; two tensors may be in turns."""
    count = working_set // 2 // 4
    names = ["x", *(f"x{i}" for i in range(1, PASSES)), "y"]
    nodes = [_node(("Neg", "Abs")[i % 2], [names[i]], [names[i + 1]]) for i in range(PASSES)]
    call = _open(graphs, nodes, {}, (1, count), (1, count))
    return _Kernel(BYTES, working_set, PASSES * 2 * 4 * count, call)


def _fp32_product(weights: NDArray[np.float32]) -> Graph:
    return [_node("MatMul", ["x", "weights"], ["y"])], {"weights": weights}


def _fp16_product(weights: NDArray[np.float32]) -> Graph:
    """As a part of the network is: the conversions are paid by the images and logits alone."""
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


_BY_PRECISION: dict[str, Callable[[NDArray[np.float32]], Graph]] = {
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
    """Return a call of a graph from ``x`` to ``y``, both float32 and bound where it computes."""
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


def peak_runs(session: Session, precision: str) -> PeakRuns | str:
    """Return the graphs for what a session runs on, or in words why there are none."""
    if precision not in _BY_PRECISION:
        return f"the peak is not measured: no product of matrices in {precision} is known"
    try:
        graphs = session.runner.bare_graphs()
    except BackendError as error:
        return f"the peak of {session.device} is not measured: {error}"
    try:
        return PeakRuns(graphs, precision)
    except (BackendError, MemoryError) as error:
        reason = str(error) or "out of memory"
        return f"the peak is not measured: its graphs cannot be loaded ({reason})"
