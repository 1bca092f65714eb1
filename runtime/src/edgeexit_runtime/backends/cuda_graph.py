"""CUDA graphs, which PyCUDA does not wrap: work captured from a stream, launched in one call."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from edgeexit_runtime.backends.cuda_context import driver_library
from edgeexit_runtime.errors import BackendError

__all__ = ["CaptureError", "CudaGraph"]

THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may allocate meanwhile


class CaptureError(Exception):
    """Work cannot be captured, or a graph of it cannot be made."""


class CudaGraph:
    """What ``enqueue`` puts into a stream, captured without being run.

    To be used, and closed, with the context of the stream current.

    Args:
        stream: the handle of a stream that is not the default stream.
        enqueue: enqueues into that stream, and neither waits nor allocates.

    Raises:
        CaptureError: it cannot be captured; the stream is as before.
    """

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        self._driver = driver_library()
        self._exec = ctypes.c_void_p()
        captured = ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), ctypes.c_int(THREAD_LOCAL))
        failure: Exception | None = None
        try:
            enqueue()
        except Exception as error:  # whatever it is, the capture has to be ended
            failure = error
        try:
            self._call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(captured))
        except CaptureError as error:
            raise error from failure
        try:
            if failure is not None:
                raise CaptureError(str(failure)) from failure
            self._call(
                *("cuGraphInstantiateWithFlags", ctypes.byref(self._exec), captured),
                ctypes.c_ulonglong(0),
            )
        finally:
            self._driver.cuGraphDestroy(captured)

    def launch(self, stream: int) -> None:
        """Enqueue all of it.

        Raises:
            BackendError: the device refuses.
        """
        try:
            self._call("cuGraphLaunch", self._exec, ctypes.c_void_p(stream))
        except CaptureError as error:
            raise BackendError(f"CUDA: {error}") from error

    def close(self) -> None:
        """Free it; it must not be running."""
        if self._exec:
            self._driver.cuGraphExecDestroy(self._exec)
            self._exec = ctypes.c_void_p()

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code != 0:
            text = ctypes.c_char_p()
            self._driver.cuGetErrorString(ctypes.c_int(code), ctypes.byref(text))
            raise CaptureError(f"{name}: {(text.value or b'').decode() or code}")
