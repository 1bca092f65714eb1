"""Runs become CUDA graphs, while a bundle is loaded.

It is done then and not later, since a capture disturbs the process: whoever waits for the whole
device meanwhile, in any thread, gets an error. And the other way round.
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
"""How often the capture of a run is tried."""


class Captures:
    """Prepares one run after the other in a stream, with its context current.

    Args:
        is_on: whether graphs are captured.
    """

    def __init__(self, stream: Any, *, is_on: bool) -> None:
        self._stream = stream
        self._tries = CAPTURES if is_on else 0
        self._has_said_why = False  # some run has no graph

    def prepare(self, run: Run, name: str) -> None:
        """Run it once, and give it a graph, where that works.

        TensorRT wants it to be enqueued plainly before. Another thread that waits for the device
        spoils a capture, so that it is tried again.

        Raises:
            BackendError: it cannot even be enqueued.
        """
        run.enqueue(self._stream.handle)
        for left in reversed(range(self._tries)):
            try:
                run.graph = self._captured(run, name)
                return
            except CaptureError as error:
                self._use_up_error(run)
                if left == 0 and not self._has_said_why:
                    self._has_said_why = True
                    # its text alone: a log that keeps errors would keep the stream
                    logger.warning("no CUDA graph, runs are enqueued one by one: %s", str(error))

    def _captured(self, run: Run, name: str) -> CudaGraph:
        if not run.is_capturable(self._stream.handle):
            raise CaptureError(f"TensorRT says that {name} is not capturable")
        self._stream.synchronize()
        gc.collect(0)  # what is freed by itself now is not freed while the stream captures
        handle = self._stream.handle
        return CudaGraph(handle, lambda: run.enqueue(handle))

    def _use_up_error(self, run: Run) -> None:
        """Run once more after a failed capture, where nobody needs the answer.

        Libraries over CUDA's runtime find the capture's error at their next launch, and refuse
        that: seen of ONNX Runtime's kernels on an H200.
        """
        try:
            run.enqueue(self._stream.handle)
        except BackendError as error:
            logger.debug("after a capture that failed: %s", str(error))
