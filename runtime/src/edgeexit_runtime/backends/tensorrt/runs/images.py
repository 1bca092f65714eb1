"""The images on their way to the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pycuda.driver as cuda
from numpy.typing import NDArray

from edgeexit_runtime.backends.cuda.memory import CudaMemory


class ImageBuffer:
    """Pinned memory that images are put into, copied to the device from there, or read there.

    Attributes:
        address: where engines read them.
        in_use: whether runs that a stream was given may still need the pinned memory; whoever
            gives them to it says so.

    Args:
        memory: which frees it.
        shape: of the largest batch.
        address: on the device; None lets engines read the pinned memory itself.
    """

    def __init__(self, memory: CudaMemory, shape: tuple[int, ...], address: int | None) -> None:
        self.in_use = False
        self._is_copied = address is not None
        if address is None:
            self._pinned, self.address = memory.mapped(shape, np.float32)
        else:
            self._pinned, self.address = memory.pinned(shape, np.float32), address

    def put(self, images: NDArray[np.float32], stream: Any) -> None:
        """Take (n, C, H, W), which may change behind this."""
        if self.in_use:  # by a batch that nobody waited for
            stream.synchronize()
        pinned = self._pinned[: len(images)]
        np.copyto(pinned, images)
        if self._is_copied:
            cuda.memcpy_htod_async(self.address, pinned, stream)
