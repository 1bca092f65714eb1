"""What this machine does at best on the same provider, threads and precision, measured.

**MACs per second**: a product of two square matrices, the second one constant as weights are, in
the precision of the bundle's convolutions; of several sizes the fastest.

**Bytes per second** depend on where the data lies, so they are measured with working sets of
several sizes, the largest beyond the last-level cache (the cache-aware roofline of Ilic, Pratas
and Sousa, IEEE Computer Architecture Letters 13, 2014). What fits into a cache is what was written
just before, so ``Abs`` and ``Neg`` of a tensor in turns are run over it, which read and write. What
comes from memory are weights, so products of a vector with constant matrices are run over it,
which read as a classifier does. Both are FP32.

All are graphs that ONNX Runtime runs, opened as the bundle's own are. They take their turns
between the parts and paths, so that they see the machine in the same state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from edgeexit_runtime import Session
from edgeexit_runtime.manifest import GraphEntry, TensorInfo
from edgeexit_runtime.timing import time_call
from numpy.typing import NDArray

from edgeexit.bench.results.explanation import Bandwidth, Peaks
from edgeexit.errors import BackendError
from edgeexit.statistics.percentiles import p10

if TYPE_CHECKING:  # a report is read without them
    from edgeexit_runtime.backends.onnxruntime_sessions import SessionOpener
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
MS_PER_S = 1e3
GPU_PROVIDERS = {"CUDAExecutionProvider", "TensorrtExecutionProvider"}


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
        provider: ONNX Runtime's, as the bundle's session has it.
        threads: per graph; None leaves it to ONNX Runtime.
        precision: ``fp32``, ``fp16`` or ``int8``.
    """

    def __init__(self, provider: str, threads: int | None, precision: str) -> None:
        from edgeexit_runtime.backends.onnxruntime_sessions import SessionOpener

        self.provider = provider
        self.precision = precision
        opener = SessionOpener(None, [provider], threads)
        device = "cuda" if provider in GPU_PROVIDERS else "cpu"
        self._kernels = [
            *(_matrix_kernel(opener, device, size, precision) for size in MATRIX_SIZES),
            *(_element_kernel(opener, device, size) for size in CACHED_BYTES),
            _vector_kernel(opener, device, uncached_bytes()),
        ]

    def call(self) -> tuple[float, ...]:
        """Run every graph once; return the milliseconds of each."""
        # run_with_iobinding returns when the provider is done: nothing is left to wait for
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
        return Peaks(self.provider, self.precision, products[best], best, bandwidths)


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


def _matrix_kernel(opener: SessionOpener, device: str, size: int, precision: str) -> _Kernel:
    """(size, size) times (size, size)."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(-1, 1, (size, size)).astype(np.float32)
    nodes, initializers = _BY_PRECISION[precision](weights)
    call = _open(opener, device, nodes, initializers, (size, size), (size, size))
    return _Kernel(MACS, size, size**3, call)


def _vector_kernel(opener: SessionOpener, device: str, working_set: int) -> _Kernel:
    """(1, n) times (n, n), again and again with other weights: all of them are one working set."""
    side = math.isqrt(working_set // PRODUCTS // 4)
    rng = np.random.default_rng(0)
    # all different: ONNX Runtime may keep equal ones once, and a cache might hold that one
    initializers = {
        f"weights{i}": rng.random((side, side), np.float32) / side for i in range(PRODUCTS)
    }
    names = ["x", *(f"x{i}" for i in range(1, PRODUCTS)), "y"]
    nodes = [_node("MatMul", [names[i], f"weights{i}"], [names[i + 1]]) for i in range(PRODUCTS)]
    call = _open(opener, device, nodes, initializers, (1, side), (1, side))
    return _Kernel(BYTES, working_set, PRODUCTS * 4 * (side * side + 2 * side), call)


def _element_kernel(opener: SessionOpener, device: str, working_set: int) -> _Kernel:
    """Every value of a tensor read and written, again and again; two tensors may be in turns."""
    count = working_set // 2 // 4
    names = ["x", *(f"x{i}" for i in range(1, PASSES)), "y"]
    nodes = [_node(("Neg", "Abs")[i % 2], [names[i]], [names[i + 1]]) for i in range(PASSES)]
    call = _open(opener, device, nodes, {}, (1, count), (1, count))
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
    opener: SessionOpener,
    device: str,
    nodes: list[NodeProto],
    initializers: Mapping[str, NDArray[Any]],
    read: tuple[int, int],
    written: tuple[int, int],
) -> Callable[[], object]:
    """Return a call of a graph from ``x`` to ``y``, both float32 and bound where it computes."""
    import onnxruntime
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
    session = opener.open_graph(entry, content.SerializeToString(), gated=False)
    values = np.random.default_rng(0).uniform(-1, 1, read).astype(np.float32)
    binding = session.io_binding()
    # bound values live as long as the binding
    held = (
        onnxruntime.OrtValue.ortvalue_from_numpy(values, device, 0),
        onnxruntime.OrtValue.ortvalue_from_shape_and_type(written, np.float32, device, 0),
    )
    binding.bind_ortvalue_input("x", held[0])
    binding.bind_ortvalue_output("y", held[1])

    def call() -> object:
        return session.run_with_iobinding(binding), held

    return call


def peak_runs(session: Session, precision: str) -> PeakRuns | str:
    """Return the graphs for the provider of a session, or in words why there are none."""
    import onnxruntime

    provider = session.device
    if "onnxruntime" not in session.runner.versions:
        provider = "CUDAExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            return (
                f"the peak of {session.device} is not measured: ONNX Runtime's {provider}, which "
                "would measure it, is not installed here"
            )
    if precision not in _BY_PRECISION:
        return f"the peak is not measured: no product of matrices in {precision} is known"
    try:
        return PeakRuns(provider, session.threads, precision)
    except (BackendError, MemoryError) as error:
        reason = str(error) or "out of memory"
        return f"the peak is not measured: its graphs cannot be loaded ({reason})"
