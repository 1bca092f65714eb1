"""Monotonic timers that wait for the device, and summaries of their samples.

A timed call must end when its work is done, not when it is queued. Every exit's gate outputs are
copied to the host, so a whole inference always waits. If a stage alone may return earlier, its
runner's ``synchronize`` waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")

NS_PER_MS, MS_PER_S = 1e6, 1e3


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Latencies of a number of timed calls, in milliseconds.

    Percentiles are interpolated linearly between samples: with fewer than 100 samples, p99 is
    little more than the slowest call.
    """

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    min_ms: float


def summarize(samples_ms: NDArray[np.float64]) -> LatencySummary:
    """Summarize timed calls.

    Args:
        samples_ms: milliseconds of each call, of any shape.

    Raises:
        ValueError: there are no samples.
    """
    samples_ms = np.asarray(samples_ms, np.float64)
    if samples_ms.size == 0:
        raise ValueError("expected at least one timed call, got none")
    p50, p90, p95, p99 = np.percentile(samples_ms, (50, 90, 95, 99)).tolist()
    return LatencySummary(
        samples_ms.size, float(samples_ms.mean()), p50, p90, p95, p99, float(samples_ms.min())
    )


def time_call(call: Callable[[], Result], wait: Callable[[], None]) -> tuple[float, Result]:
    """Return the milliseconds of ``call`` and ``wait`` together, and the result of ``call``.

    The clock is monotonic and counts nanoseconds; reading it twice takes about 100 of them.
    """
    start = time.perf_counter_ns()
    result = call()
    wait()
    return (time.perf_counter_ns() - start) / NS_PER_MS, result
