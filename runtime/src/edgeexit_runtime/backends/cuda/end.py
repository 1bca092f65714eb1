"""Waiting for the end of the work enqueued in a stream so far."""

from __future__ import annotations

import time
from typing import Any

import pycuda.driver as cuda

NS_PER_US = 1000


class StreamEnd:
    """A reusable event in a stream, to be used with the stream's context current.

    Args:
        poll_us: microseconds of polling; after them the thread sleeps, which costs little CPU time
            but, on devices that wake it by an interrupt, tens of microseconds.
    """

    def __init__(self, poll_us: float) -> None:
        self._poll_ns = round(poll_us * NS_PER_US)
        self._event = cuda.Event(cuda.event_flags.DISABLE_TIMING)

    def mark(self, stream: Any) -> None:
        """Mark the end of the work enqueued so far."""
        self._event.record(stream)

    def wait(self) -> None:
        """Wait until the marked work is done.

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
