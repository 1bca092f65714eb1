"""Timers and percentiles."""

from __future__ import annotations

import time

import numpy as np
import pytest
from edgeexit_runtime.timing.calls import LatencySummary, summarize, time_call


def test_summary_of_known_samples() -> None:
    samples_ms = np.arange(1, 102, dtype=np.float64)  # 1, 2 ... 101: percentile p is p + 1
    shuffled = np.random.default_rng(0).permutation(samples_ms)

    assert summarize(shuffled) == LatencySummary(
        count=101, mean_ms=51, p50_ms=51, p90_ms=91, p95_ms=96, p99_ms=100, min_ms=1
    )


def test_summary_takes_any_shape_and_one_sample() -> None:
    assert summarize(np.array([[2.0, 4.0], [6.0, 8.0]])).count == 4
    single = summarize(np.array([3.0]))
    assert (single.count, single.p50_ms, single.p99_ms, single.min_ms) == (1, 3, 3, 3)


def test_summary_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one timed call, got none"):
        summarize(np.empty(0))


def test_time_includes_the_call_and_the_waiting() -> None:
    order: list[str] = []

    def call() -> str:
        order.append("call")
        time.sleep(0.002)
        return "result"

    def wait() -> None:
        order.append("wait")
        time.sleep(0.003)

    elapsed_ms, result = time_call(call, wait)

    assert result == "result"
    assert order == ["call", "wait"]
    assert elapsed_ms >= 5  # a sleep is never shorter than asked for
