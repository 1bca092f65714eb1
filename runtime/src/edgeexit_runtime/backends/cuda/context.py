"""The device's primary context, made current only during calls.

torch, ONNX Runtime and TensorRT use the same context. Every call pushes and pops it, so that a
thread's own context is restored and any thread may call. Nested calls find it pushed.

After some errors, such as an illegal address, CUDA rejects every call until the process ends, even
to pop and to free. The context is then lost, and not used again.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from types import TracebackType

import pycuda.driver as cuda

from edgeexit_runtime.backends.cuda.device import load_driver
from edgeexit_runtime.errors import BackendError, DeviceLostError


class _Thread(threading.local):
    """The calling thread's nesting depth in the context."""

    depth = 0


class PrimaryContext:
    """Retains the primary context of a device until :meth:`release`.

    ``with context:`` makes it the calling thread's current one. CUDA errors inside are converted to
    :class:`BackendError`, here and nowhere else. Once the context is lost, every use raises a
    :class:`DeviceLostError`.

    Attributes:
        name: the device's name.
        shares_memory: whether the device uses the host's memory and has none of its own.
        lost: why the context is lost; None if it is not.

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
            self._driver = load_driver()
            self._context = device.retain_primary_context()
        except cuda.Error as error:
            raise BackendError(f"no CUDA device can be used here: {error}") from error
        except OSError as error:
            raise BackendError(f"CUDA's driver cannot be loaded: {error}") from error

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
            self.check_lost(error)
        self._thread.depth -= 1
        if self._thread.depth == 0:
            self._pop()
        if self.lost is not None:
            raise DeviceLostError(self.lost) from error
        if isinstance(error, cuda.Error):
            raise _translated(error) from error

    def check_lost(self, error: Exception) -> None:
        """Check, after an error, whether the current context is lost."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        # this call needs only a context, and does not wait
        if self._driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) != 0:
            self._lose(error)

    def _lose(self, error: Exception) -> DeviceLostError:
        if self.lost is None:
            reason = str(error) or type(error).__name__
            self.lost = f"CUDA: {reason}; this process has lost the device: restart it"
        return DeviceLostError(self.lost)

    def _pop(self) -> None:
        try:
            cuda.Context.pop()
        except cuda.Error as error:
            self._lose(error)
            # PyCUDA aborts a process that ends with a context on PyCUDA's own stack; detaching
            # removes it from there.
            with contextlib.suppress(cuda.Error):  # already detached by a "with" inside this one
                self._context.detach()

    def release(self) -> None:
        """Release the context, from any thread, after everything allocated in it was freed."""
        # PyCUDA's detach() releases a primary context only if PyCUDA considers it current or if
        # this thread retained it, and never pops it off the driver's stack.
        try:
            self._context.push()
        except cuda.Error as error:
            raise self._lose(error) from error
        popped = ctypes.c_void_p()
        self._driver.cuCtxPopCurrent_v2(ctypes.byref(popped))
        self._context.detach()


def _translated(error: Exception) -> BackendError:
    if isinstance(error, cuda.MemoryError):
        return BackendError(
            f"the device is out of memory ({error}); close what else uses it, or export the "
            "bundle with a smaller --max-batch"
        )
    return BackendError(f"CUDA: {error}; if it happens again, restart the process")
