"""The end of what a stream was given so far, and waiting for it."""

from __future__ import annotations

import time
from typing import Any

import pycuda.driver as cuda

NS_PER_US = 1000


class StreamEnd:
    """One event, marked and waited for again and again, with the stream's context current.

    Args:
        poll_us: for so many microseconds it is asked for; behind them the thread sleeps, which
            costs little of the processor and, on devices that wake it by an interrupt, tens of
            microseconds.
    """

    def __init__(self, poll_us: float) -> None:
        self._poll_ns = round(poll_us * NS_PER_US)
        self._event = cuda.Event(cuda.event_flags.DISABLE_TIMING)

    def mark(self, stream: Any) -> None:
        """Mean what the stream was given until now."""
        self._event.record(stream)

    def wait(self) -> None:
        """Return when that is done.

        Raises:
            pycuda.driver.Error: some of it failed.
        """
        event = self._event
        if self._poll_ns:
            end = time.perf_counter_ns() + self._poll_ns
            while time.perf_counter_ns() < end:
                if event.query():
                    return
        event.synchronize()
