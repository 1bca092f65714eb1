"""Device memory and pinned memory, all freed together."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pycuda.driver as cuda
from numpy.typing import DTypeLike, NDArray

from edgeexit_runtime.errors import BackendError

logger = logging.getLogger(__name__)

KIBIBYTE, MEBIBYTE = 2**10, 2**20
MEMINFO = Path("/proc/meminfo")
AVAILABLE = re.compile(r"^MemAvailable: +(\d+) kB$", re.MULTILINE)


class CudaMemory:
    """The allocations of one runner. Must be used with its context current."""

    def __init__(self) -> None:
        self._allocations: list[Any] = []  # PyCUDA's objects, each with free()

    def device(self, size_bytes: int) -> int:
        """Allocate device memory; return its address, aligned to at least 256 bytes."""
        allocation = cuda.mem_alloc(max(size_bytes, 1))
        self._allocations.append(allocation)
        return int(allocation)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocate a host array that the device can read and write asynchronously.

        The array must not be accessed after :meth:`close`.
        """
        array: NDArray[Any] = cuda.pagelocked_empty(shape, dtype)
        self._allocations.append(array.base)
        return array

    def mapped(self, shape: tuple[int, ...], dtype: DTypeLike) -> tuple[NDArray[Any], int]:
        """Allocate a pinned array that kernels can access too; return it and its device address.

        If the device shares the host's memory, it is as fast as any other; else each access
        goes over the bus.
        """
        flags = cuda.host_alloc_flags.DEVICEMAP
        array: NDArray[Any] = cuda.pagelocked_empty(shape, dtype, mem_flags=flags)
        allocation: Any = array.base
        self._allocations.append(allocation)
        return array, int(allocation.get_device_pointer())

    def close(self) -> None:
        """Free everything, the last first. PyCUDA warns of what cannot be freed, and continues."""
        while self._allocations:
            self._allocations.pop().free()


def require_free_memory(size_bytes: int, purpose: str, *, shared: bool = False) -> None:
    """Check that there is enough free memory, before anything is allocated.

    Args:
        size_bytes: amount that will be allocated.
        purpose: for messages.
        shared: whether the device uses the host's memory. The system then frees caches on demand,
            the free amount is only an estimate, and too little is only a warning.

    Raises:
        BackendError: a device with memory of its own has too little.
    """
    free_bytes, total_bytes = cuda.mem_get_info()
    if shared:
        # the driver does not count memory that the page cache would release
        free_bytes = max(free_bytes, available_memory(MEMINFO))
    if size_bytes <= free_bytes:
        return
    message = (
        f"{purpose}: needs {size_bytes / MEBIBYTE:.1f} MiB of device memory, "
        f"{free_bytes / MEBIBYTE:.1f} of {total_bytes / MEBIBYTE:.1f} MiB are free; close what "
        "else uses the device, or export the bundle with a smaller --max-batch"
    )
    if not shared:
        raise BackendError(message)
    logger.warning("%s", message)


def available_memory(meminfo: Path) -> int:
    """Return the bytes of memory that Linux reports as available, 0 if it reports none."""
    try:
        found = AVAILABLE.search(meminfo.read_text(encoding="ascii"))
    except OSError:
        return 0
    return int(found[1]) * KIBIBYTE if found else 0
