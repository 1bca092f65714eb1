"""What TensorRT logs: errors are kept for messages, warnings go to Python's logging.

TensorRT keeps the first logger that a process gives it and ignores all others
(NVIDIA/TensorRT#4134). So there is one for the life of the process, and what it is told goes to
the :class:`Reasons` of whoever has called.
"""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections import deque
from typing import Any

from edgeexit_runtime.backends.tensorrt.progress import Cancelled

logger = logging.getLogger(__name__)

# what TensorRT-RTX says before every build, and is none
NO_ERROR = "Thread context has not been set"
MAX_ERRORS = 100  # of a session that may live for months


class Reasons:
    """What TensorRT says to one caller: ``with reasons:`` around every call that may fail.

    Attributes:
        errors: the last of them, each as one line.

    Args:
        target: where warnings go.
        warnings: the level that they have there.
        cancelled: set by Ctrl-C, which may come up in the logger and must not pass through
            TensorRT.
    """

    def __init__(self, target: logging.Logger, warnings: int, cancelled: Cancelled) -> None:
        self.errors: deque[str] = deque(maxlen=MAX_ERRORS)
        self.cancelled = cancelled
        self._target = target
        self._warnings = warnings

    def __enter__(self) -> Reasons:
        self.forget()  # a call that an interrupt has ended on its way out
        _calls[self] = threading.get_ident()
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()

    def forget(self) -> None:
        """Be told nothing any more."""
        _calls.pop(self, None)

    def add_error(self, text: str) -> None:
        """Keep an error."""
        self.errors.append(text)

    def add_warning(self, text: str) -> None:
        """Tell Python's logging."""
        self._target.log(self._warnings, "%s", text)

    def reason(self, pattern: re.Pattern[str] | None = None) -> str:
        """Return the first error, nearest to the cause; of those with a pattern, if any."""
        fitting = (text for text in self.errors if pattern is None or pattern.search(text))
        return next(fitting, "")


@functools.cache
def process_log(module: Any) -> Any:
    """Return the one logger for ``tensorrt`` or ``tensorrt_rtx``; it lives as long as the process.

    Args:
        module: which of them.
    """

    class Log(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            reasons = _whose()
            try:
                if severity in (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR):
                    if NO_ERROR not in msg:
                        reasons.add_error(" ".join(msg.split()))
                elif severity == module.ILogger.WARNING:
                    reasons.add_warning(msg)
            except KeyboardInterrupt:
                reasons.cancelled.set()

    return Log()


class _Nobody(Reasons):
    """Takes what TensorRT says while nobody has called: errors are warnings."""

    def add_error(self, text: str) -> None:
        self.add_warning(text)


_calls: dict[Reasons, int] = {}  # who has called TensorRT from which thread, in this order
_nobody = _Nobody(logger, logging.WARNING, Cancelled())


def _whose() -> Reasons:
    """Return whose call it is; a thread of TensorRT's own works for the only caller there is."""
    calls, thread = list(_calls.items()), threading.get_ident()
    of_this_thread = [reasons for reasons, caller in calls if caller == thread]
    if of_this_thread:
        return of_this_thread[-1]
    return calls[0][0] if len(calls) == 1 else _nobody
