"""The device's primary context, current only while something is done in it.

It is the context of torch, of ONNX Runtime and of TensorRT itself. Every call pushes it and pops
it again, so that a thread's own context is as it was, and any thread may call.
"""

from __future__ import annotations

import ctypes
from types import TracebackType
from typing import Any

import pycuda.driver as cuda

from edgeexit_runtime.backends.cuda_device import load_driver
from edgeexit_runtime.errors import BackendError

__all__ = ["PrimaryContext", "driver_library"]


class PrimaryContext:
    """Retains the primary context of a device until :meth:`release`.

    ``with context:`` makes it the calling thread's current one. An error of CUDA within is raised
    as a :class:`BackendError`: this is the one place where that is done.

    Attributes:
        name: of the device.

    Raises:
        BackendError: there is no CUDA device, or it cannot be used.
    """

    def __init__(self, ordinal: int = 0) -> None:
        try:
            cuda.init()
            device = cuda.Device(ordinal)
            self.name: str = device.name()
            self._driver = driver_library()
            self._context = device.retain_primary_context()
        except cuda.Error as error:
            raise BackendError(f"no CUDA device can be used here: {error}") from error

    def __enter__(self) -> PrimaryContext:
        try:
            self._context.push()
        except cuda.Error as error:
            raise _translated(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        cuda.Context.pop()
        if isinstance(error, cuda.Error):
            raise _translated(error) from error

    def release(self) -> None:
        """Give the context back, from any thread; what was made in it is freed before."""
        # PyCUDA's detach() gives a primary context back only where PyCUDA takes it for current or
        # where this thread retained it, and never takes it off the driver's stack.
        self._context.push()
        popped = ctypes.c_void_p()
        self._driver.cuCtxPopCurrent_v2(ctypes.byref(popped))
        self._context.detach()


def driver_library() -> Any:
    """Return the driver's library, for what PyCUDA does not wrap. PyCUDA has loaded it.

    Raises:
        BackendError: it is not there under its name.
    """
    try:
        return load_driver()
    except OSError as error:
        raise BackendError(f"CUDA's driver cannot be loaded: {error}") from error


def _translated(error: Exception) -> BackendError:
    if isinstance(error, cuda.MemoryError):
        return BackendError(
            f"the device is out of memory ({error}); close what else uses it, or export the "
            "bundle with a smaller --max-batch"
        )
    return BackendError(f"CUDA: {error}; if it happens again, start the process anew")
