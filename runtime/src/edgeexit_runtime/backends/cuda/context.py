"""The device's primary context, current only while something is done in it.

It is the context of torch, of ONNX Runtime and of TensorRT itself. Every call pushes it and pops
it again, so that a thread's own context is as it was, and any thread may call. Calls within others
find it pushed.

After some errors, such as an illegal address, CUDA refuses everything until the process ends, also
to pop and to free. Then the context is lost, and nothing more is tried with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from types import TracebackType
from typing import Any

import pycuda.driver as cuda

from edgeexit_runtime.backends.cuda.device import load_driver
from edgeexit_runtime.errors import BackendError, DeviceLostError


class _Thread(threading.local):
    """How often the calling thread is within the context."""

    depth = 0


class PrimaryContext:
    """Retains the primary context of a device until :meth:`release`.

    ``with context:`` makes it the calling thread's current one. An error of CUDA within is raised
    as a :class:`BackendError`: this is the one place where that is done. Once the context is lost,
    every use raises a :class:`DeviceLostError`.

    Attributes:
        name: of the device.
        shares_memory: whether the device has the host's memory, and none of its own.
        lost: why the context is lost; None as long as it is not.

    Raises:
        BackendError: there is no CUDA device, or it cannot be used.
    """

    def __init__(self) -> None:
        try:
            cuda.init()
            device = cuda.Device(0)
            self.name: str = device.name()
            self.shares_memory = bool(device.get_attribute(cuda.device_attribute.INTEGRATED))
            self.lost: str | None = None
            self._thread = _Thread()
            self._driver = driver_library()
            self._context = device.retain_primary_context()
        except cuda.Error as error:
            raise BackendError(f"no CUDA device can be used here: {error}") from error

    def __enter__(self) -> PrimaryContext:
        if self.lost is not None:
            raise DeviceLostError(self.lost)
        if self._thread.depth == 0:
            try:
                self._context.push()
            except cuda.Error as error:
                raise self._lose(error) from error
        self._thread.depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            self.find_out(error)
        self._thread.depth -= 1
        if self._thread.depth == 0:
            self._pop()
        if self.lost is not None:
            raise DeviceLostError(self.lost) from error
        if isinstance(error, cuda.Error):
            raise _translated(error) from error

    def find_out(self, error: Exception) -> None:
        """Ask the driver, behind an error, whether the context is lost; it is current."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        # it needs nothing but a context, and waits for nothing
        if self._driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) != 0:
            self._lose(error)

    def _lose(self, error: Exception) -> DeviceLostError:
        if self.lost is None:
            reason = str(error) or type(error).__name__
            self.lost = f"CUDA: {reason}; this process has lost the device: start it anew"
        return DeviceLostError(self.lost)

    def _pop(self) -> None:
        try:
            cuda.Context.pop()
        except cuda.Error as error:
            self._lose(error)
            # PyCUDA aborts a process that ends with a context on its own stack. It takes those
            # off that are detached.
            with contextlib.suppress(cuda.Error):  # it has been, by a "with" within this one
                self._context.detach()

    def release(self) -> None:
        """Give the context back, from any thread; what was made in it is freed before."""
        # PyCUDA's detach() gives a primary context back only where PyCUDA takes it for current or
        # where this thread retained it, and never takes it off the driver's stack.
        try:
            self._context.push()
        except cuda.Error as error:
            raise self._lose(error) from error
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
