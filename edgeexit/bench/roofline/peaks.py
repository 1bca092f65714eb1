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

from collections.abc import Sequence
from pathlib import Path

from edgeexit_runtime import Session
from edgeexit_runtime.backends.base import BareGraphs
from edgeexit_runtime.timing.calls import MS_PER_S, time_call

from edgeexit.bench.results.roofline import Bandwidth, Peaks
from edgeexit.bench.roofline.kernels import (
    PRODUCT_BY_PRECISION,
    element_kernel,
    matrix_kernel,
    vector_kernel,
)
from edgeexit.errors import BackendError
from edgeexit.statistics.percentiles import p10

MATRIX_SIZES = (128, 256, 512)
CACHED_BYTES = (256 * 2**10, 4 * 2**20)
UNCACHED_BYTES = 128 * 2**20  # at least, and four times the last-level cache
MOST_BYTES = 2**30  # an ONNX file has less than 2 GiB, and devices have little memory
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


class PeakRuns:
    """The loaded graphs; :meth:`call` runs each once, and :meth:`peaks` evaluates the times.

    Args:
        graphs: loads and runs them in the backend of the bundle's session.
        precision: ``fp32``, ``fp16`` or ``int8``.
    """

    def __init__(self, graphs: BareGraphs, precision: str) -> None:
        self.device = graphs.device
        self.precision = precision
        self._products = [matrix_kernel(graphs, size, precision) for size in MATRIX_SIZES]
        self._moves = [
            *(element_kernel(graphs, size) for size in CACHED_BYTES),
            vector_kernel(graphs, uncached_bytes()),
        ]

    def call(self) -> tuple[float, ...]:
        """Run every graph once; return the milliseconds of each."""
        # kernels return when the device is done, so there is nothing to wait for
        kernels = (*self._products, *self._moves)
        return tuple([time_call(kernel.call, lambda: None)[0] for kernel in kernels])

    def peaks(self, times_ms: Sequence[Sequence[float]]) -> Peaks:
        """Return the peak rates from the times that calls of :meth:`call` returned."""
        kernels = (*self._products, *self._moves)
        per_s = [
            kernel.amount / p10(calls_ms) * MS_PER_S
            for kernel, calls_ms in zip(kernels, zip(*times_ms, strict=True), strict=True)
        ]
        count = len(self._products)
        products = zip(self._products, per_s[:count], strict=True)
        moves = zip(self._moves, per_s[count:], strict=True)
        fastest, macs_per_s = max(products, key=lambda product: product[1])
        bandwidths = tuple(Bandwidth(kernel.size, rate) for kernel, rate in moves)
        return Peaks(self.device, self.precision, macs_per_s, fastest.size, bandwidths)


def uncached_bytes(caches: Path = CACHES) -> int:
    """Return the size of a working set that fits into no cache."""
    return min(max(UNCACHED_BYTES, 4 * last_level_cache_bytes(caches)), MOST_BYTES)


def last_level_cache_bytes(caches: Path = CACHES) -> int:
    """Return the size of the largest cache that the system reports; 0 if it reports none."""
    found = [0]
    for file in caches.glob("index*/size"):
        text = file.read_text(errors="replace").strip()
        number, unit = text[:-1], text[-1:]
        if number.isdigit() and unit in UNITS:
            found.append(int(number) * UNITS[unit])
    return max(found)


def peak_runs(session: Session, precision: str) -> PeakRuns | str:
    """Return the peak graphs for a session's device, or the reason why there are none."""
    if precision not in PRODUCT_BY_PRECISION:
        return f"the peak is not measured: no matrix product in {precision} is defined"
    try:
        graphs = session.runner.bare_graphs()
    except BackendError as error:
        return f"the peak of {session.device} is not measured: {error}"
    try:
        return PeakRuns(graphs, precision)
    except (BackendError, MemoryError) as error:
        reason = str(error) or "out of memory"
        return f"the peak is not measured: its graphs cannot be loaded ({reason})"
