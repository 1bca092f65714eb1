"""Capture of runs as CUDA graphs, while a bundle is loaded.

It is done then and not later because a capture affects the whole process: a thread that waits for
the whole device during a capture gets an error, and breaks the capture.
"""

from __future__ import annotations

import gc
import logging
from typing import Any

from edgeexit_runtime.backends.cuda.graph import CaptureError, CudaGraph
from edgeexit_runtime.backends.tensorrt.runs.parts import Run
from edgeexit_runtime.errors import BackendError

logger = logging.getLogger(__name__)

CAPTURES = 3
"""Maximum number of attempts to capture a run."""


class Captures:
    """Prepares runs in a stream, with its context current.

    Args:
        is_on: whether graphs are captured.
    """

    def __init__(self, stream: Any, *, is_on: bool) -> None:
        self._stream = stream
        self._tries = CAPTURES if is_on else 0
        self._warned = False  # of a run without a graph

    def prepare(self, run: Run, name: str) -> None:
        """Run ``run`` once, and capture its graph if that works.

        TensorRT requires a normal enqueue first. Another thread that waits for the device breaks a
        capture, so failed captures are retried.

        Raises:
            BackendError: it cannot even be enqueued.
        """
        run.enqueue(self._stream.handle)
        for left in reversed(range(self._tries)):
            try:
                run.graph = self._captured(run, name)
                return
            except CaptureError as error:
                self._clear_error(run)
                if left == 0 and not self._warned:
                    self._warned = True
                    # only its text: a log that keeps errors would keep the stream alive
                    logger.warning("no CUDA graph, runs are enqueued one by one: %s", str(error))

    def _captured(self, run: Run, name: str) -> CudaGraph:
        if not run.is_capturable(self._stream.handle):
            raise CaptureError(f"TensorRT says that {name} is not capturable")
        self._stream.synchronize()
        gc.collect(0)  # so that garbage collection frees less during the capture
        handle = self._stream.handle
        return CudaGraph(handle, lambda: run.enqueue(handle))

    def _clear_error(self, run: Run) -> None:
        """Run once more after a failed capture, to clear its error; the outputs are not used.

        Libraries on top of CUDA's runtime find the capture's error at their next launch, which then
        fails: seen with ONNX Runtime's kernels on an H200.
        """
        try:
            run.enqueue(self._stream.handle)
        except BackendError as error:
            logger.debug("after a capture that failed: %s", str(error))
