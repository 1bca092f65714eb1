"""TensorRT's log: errors are kept for messages, warnings go to Python's logging.

TensorRT keeps the first logger that a process gives it and ignores all others
(NVIDIA/TensorRT#4134). One logger therefore lives as long as the process, and passes each message
to the :class:`Reasons` of the current caller.
"""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections import deque
from typing import Any

logger = logging.getLogger(__name__)

# TensorRT-RTX logs this as an error before every build, and it is harmless
NO_ERROR = "Thread context has not been set"
MAX_ERRORS = 100  # a session may live for months


class Reasons:
    """TensorRT's messages to one caller, who puts ``with reasons:`` around calls that may fail.

    Attributes:
        errors: the last errors, each as one line.
        cancelled: whether Ctrl-C came while TensorRT was calling, through which a KeyboardInterrupt
            must not propagate.

    Args:
        target: logger for warnings.
        warnings: their level there.
    """

    def __init__(self, target: logging.Logger, warnings: int) -> None:
        self.errors: deque[str] = deque(maxlen=MAX_ERRORS)
        self.cancelled = False
        self._target = target
        self._warnings = warnings

    def __enter__(self) -> Reasons:
        self.forget()  # an earlier call, if an interrupt skipped its __exit__
        _calls[self] = threading.get_ident()
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()

    def forget(self) -> None:
        """Receive no more messages."""
        _calls.pop(self, None)

    def add_error(self, text: str) -> None:
        """Keep an error."""
        self.errors.append(text)

    def add_warning(self, text: str) -> None:
        """Log a warning with Python's logging."""
        self._target.log(self._warnings, "%s", text)

    def reason(self, pattern: re.Pattern[str] | None = None) -> str:
        """Return the first error, which is nearest to the cause, that matches a pattern, if any."""
        fitting = (text for text in self.errors if pattern is None or pattern.search(text))
        return next(fitting, "")


@functools.cache
def process_log(module: Any) -> Any:
    """Return the only logger for ``tensorrt`` or ``tensorrt_rtx``; it lives as long as the process.

    Args:
        module: one of these modules.
    """

    class Log(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            reasons = _caller()
            try:
                if severity in (module.ILogger.INTERNAL_ERROR, module.ILogger.ERROR):
                    if NO_ERROR not in msg:
                        reasons.add_error(" ".join(msg.split()))
                elif severity == module.ILogger.WARNING:
                    reasons.add_warning(msg)
            except KeyboardInterrupt:
                reasons.cancelled = True

    return Log()


class _NoCaller(Reasons):
    """Receives TensorRT's messages outside of any call; errors are logged as warnings."""

    def add_error(self, text: str) -> None:
        self.add_warning(text)


_calls: dict[Reasons, int] = {}  # callers inside TensorRT and their threads, in order
_no_caller = _NoCaller(logger, logging.WARNING)


def _caller() -> Reasons:
    """Return the caller in this thread; for a thread of TensorRT's own, the only caller, if any."""
    calls, thread = list(_calls.items()), threading.get_ident()
    of_this_thread = [reasons for reasons, caller in calls if caller == thread]
    if of_this_thread:
        return of_this_thread[-1]
    return calls[0][0] if len(calls) == 1 else _no_caller
