"""A stream of the first GPU for libraries that accept one; needs only the driver."""

from __future__ import annotations

import ctypes
import logging
from typing import Any

from edgeexit_runtime.backends.cuda.device import error_text, load_driver
from edgeexit_runtime.errors import BackendError

logger = logging.getLogger(__name__)

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for other libraries' default stream


class CudaStream:
    """A stream in the primary context, which is made current only during calls.

    Attributes:
        handle: the stream's address.

    Raises:
        BackendError: there is no device, or it cannot be used.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._device, self._context = ctypes.c_int(), ctypes.c_void_p()
        stream = ctypes.c_void_p()
        self._check(driver.cuInit(0))
        self._check(driver.cuDeviceGet(ctypes.byref(self._device), 0))
        context = ctypes.byref(self._context)
        self._check(driver.cuDevicePrimaryCtxRetain(context, self._device))
        try:
            self._in_context(driver.cuStreamCreate, ctypes.byref(stream), NON_BLOCKING)
        except BaseException:
            driver.cuDevicePrimaryCtxRelease_v2(self._device)
            raise
        self.handle = int(stream.value or 0)

    def synchronize(self) -> None:
        """Wait until all work enqueued is done.

        Raises:
            BackendError: some of it failed.
        """
        self._in_context(self._driver.cuStreamSynchronize, ctypes.c_void_p(self.handle))

    def close(self) -> None:
        """Free the stream, once, when nothing uses it any more. A lost device frees nothing."""
        if self.handle == 0:
            return
        stream, self.handle = ctypes.c_void_p(self.handle), 0
        try:
            self._in_context(self._driver.cuStreamDestroy_v2, stream)
        except BackendError as error:
            logger.warning("the stream could not be freed: %s", error)
        self._driver.cuDevicePrimaryCtxRelease_v2(self._device)

    def _in_context(self, function: Any, *arguments: Any) -> None:
        self._check(self._driver.cuCtxPushCurrent_v2(self._context))
        try:
            self._check(function(*arguments))
        finally:
            self._driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))

    def _check(self, code: int) -> None:
        if code != 0:
            raise BackendError(f"CUDA: {error_text(self._driver, code)}")


def open_stream() -> CudaStream | None:
    """Return a stream; None if there is no driver or no device."""
    try:
        return CudaStream(load_driver())
    except (OSError, BackendError):
        return None
