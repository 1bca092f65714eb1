"""The buffer of the images for the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pycuda.driver as cuda
from numpy.typing import NDArray

from edgeexit_runtime.backends.cuda.memory import CudaMemory


class ImageBuffer:
    """Pinned memory for images, which are copied to the device from there, or read in place.

    Attributes:
        address: where engines read the images.
        in_use: whether enqueued runs may still need the pinned memory; set by the code that
            enqueues them.

    Args:
        memory: owner of the allocation.
        shape: shape of the largest batch.
        address: device address; None lets engines read the pinned memory itself.
    """

    def __init__(self, memory: CudaMemory, shape: tuple[int, ...], address: int | None) -> None:
        self.in_use = False
        self._is_copied = address is not None
        if address is None:
            self._pinned, self.address = memory.mapped(shape, np.float32)
        else:
            self._pinned, self.address = memory.pinned(shape, np.float32), address

    def put(self, images: NDArray[np.float32], stream: Any) -> None:
        """Copy images (n, C, H, W) into the buffer; the array may change afterwards."""
        if self.in_use:  # by a batch that was not waited for
            stream.synchronize()
        pinned = self._pinned[: len(images)]
        np.copyto(pinned, images)
        if self._is_copied:
            cuda.memcpy_htod_async(self.address, pinned, stream)
