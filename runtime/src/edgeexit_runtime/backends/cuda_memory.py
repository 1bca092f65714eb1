"""Device memory and pinned memory that is all freed together."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pycuda.driver as cuda
from numpy.typing import DTypeLike, NDArray

from edgeexit_runtime.errors import BackendError

__all__ = ["CudaMemory", "require_free_memory"]

logger = logging.getLogger(__name__)

MEBIBYTE = 2**20


class CudaMemory:
    """What one runner has allocated. To be used with its context current."""

    def __init__(self) -> None:
        self._allocations: list[Any] = []  # PyCUDA's objects, whose free() is theirs

    def device(self, size_bytes: int) -> int:
        """Allocate device memory; return its address, aligned to 256 bytes at least."""
        allocation = cuda.mem_alloc(max(size_bytes, 1))
        self._allocations.append(allocation)
        return int(allocation)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocate an array that the device can read and write while the host goes on.

        The array must not be looked at after :meth:`close`.
        """
        array: NDArray[Any] = cuda.pagelocked_empty(shape, dtype)
        self._allocations.append(array.base)
        return array

    def close(self) -> None:
        """Free everything, the last first; one that cannot be freed does not keep the others."""
        while self._allocations:
            allocation = self._allocations.pop()
            try:
                allocation.free()
            except cuda.Error as error:
                logger.warning("memory could not be freed: %s", error)


def require_free_memory(size_bytes: int, purpose: str) -> None:
    """Check that the device has room, before anything is allocated.

    Raises:
        BackendError: it has not.
    """
    free_bytes, total_bytes = cuda.mem_get_info()
    if size_bytes > free_bytes:
        raise BackendError(
            f"{purpose}: needs {_mebibytes(size_bytes)} MiB of device memory, "
            f"{_mebibytes(free_bytes)} of {_mebibytes(total_bytes)} MiB are free; close what else "
            "uses the device, or export the bundle with a smaller --max-batch"
        )


def _mebibytes(size_bytes: int) -> str:
    return np.format_float_positional(size_bytes / MEBIBYTE, precision=1, min_digits=1)
