"""What TensorRT logs: errors are kept for messages, warnings go to Python's logging."""

from __future__ import annotations

import logging
import re
from collections import deque
from typing import Any

from edgeexit_runtime.backends.trt_progress import Cancelled

__all__ = ["make_log"]

# what TensorRT-RTX says before every build, and is none
NO_ERROR = "Thread context has not been set"
MAX_ERRORS = 100  # of a session that may live for months


def make_log(module: Any, target: logging.Logger, warnings: int, cancelled: Cancelled) -> Any:
    """Return a logger for TensorRT that keeps its last errors, each as one line.

    Args:
        module: ``tensorrt`` or ``tensorrt_rtx``.
        target: where warnings go.
        warnings: the level that they have there.
        cancelled: set by Ctrl-C, which may come up in the logger and must not pass through
            TensorRT.
    """

    class Log(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=MAX_ERRORS)

        def log(self, severity: Any, msg: str) -> None:
            try:
                if severity in (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR):
                    if NO_ERROR not in msg:
                        self.errors.append(" ".join(msg.split()))
                elif severity == module.ILogger.WARNING:
                    target.log(warnings, "%s", msg)
            except KeyboardInterrupt:
                cancelled.set()

        def reason(self, pattern: re.Pattern[str] | None = None) -> str:
            """The first error, which is nearest to the cause; of those with a pattern, if any."""
            fitting = (text for text in self.errors if pattern is None or pattern.search(text))
            return next(fitting, "")

    return Log()
