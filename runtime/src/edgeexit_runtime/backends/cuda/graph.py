"""CUDA graphs, which PyCUDA does not wrap: work captured from a stream, launched in one call."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from edgeexit_runtime.backends.cuda.device import error_text, load_driver
from edgeexit_runtime.errors import BackendError

THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may allocate meanwhile


class CaptureError(Exception):
    """Work cannot be captured, or cannot be instantiated as a graph."""


class CudaGraph:
    """The work that ``enqueue`` adds to a stream, captured without being run.

    Must be used and closed with the stream's context current.

    Args:
        stream: the handle of a stream that is not the default stream.
        enqueue: enqueues work into that stream, and neither waits nor allocates.

    Raises:
        CaptureError: the work cannot be captured; the stream is unchanged.
    """

    def __init__(self, stream: int, enqueue: Callable[[], None]) -> None:
        self._driver = load_driver()
        self._graph = ctypes.c_void_p()  # set first: close() must work after an interrupt
        self._exec = ctypes.c_void_p()
        handle = ctypes.c_void_p(stream)
        try:
            self._call("cuStreamBeginCapture_v2", handle, ctypes.c_int(THREAD_LOCAL))
            enqueue()
            self._call("cuStreamEndCapture", handle, ctypes.byref(self._graph))
            self._call(
                *("cuGraphInstantiateWithFlags", ctypes.byref(self._exec), self._graph),
                ctypes.c_ulonglong(0),
            )
        except BaseException as error:
            if not self._graph:  # ends the capture, if there is one
                self._driver.cuStreamEndCapture(handle, ctypes.byref(self._graph))
            self.close()
            if isinstance(error, CaptureError) or not isinstance(error, Exception):
                raise
            raise CaptureError(str(error)) from error

    def launch(self, stream: int) -> None:
        """Enqueue the graph.

        Raises:
            BackendError: the driver rejects it.
        """
        try:
            self._call("cuGraphLaunch", self._exec, ctypes.c_void_p(stream))
        except CaptureError as error:
            raise BackendError(f"CUDA: {error}") from error

    def close(self) -> None:
        """Free the graph, which must not be running."""
        if self._exec:
            self._driver.cuGraphExecDestroy(self._exec)
            self._exec = ctypes.c_void_p()
        if self._graph:
            self._driver.cuGraphDestroy(self._graph)
            self._graph = ctypes.c_void_p()

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code != 0:
            raise CaptureError(f"{name}: {error_text(self._driver, code)}")
