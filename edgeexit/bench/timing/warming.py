"""Untimed rounds before a measurement, until the device's speed is stable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.timing.calls import MS_PER_S
from edgeexit_runtime.timing.turns import MIN_ROUNDS, Turn

from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.timings import WarmUp

WINDOW_S = 0.5
AGREE = 0.05


def warm_up(
    turns: Sequence[Turn],
    options: BenchOptions,
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> WarmUp:
    """Run untimed rounds until the device's speed is stable.

    It is stable once the median rounds of two consecutive windows of :data:`WINDOW_S` differ by no
    more than :data:`AGREE`. The warm-up ends after ``options.warm_up_s`` at the latest, but not
    before :data:`MIN_ROUNDS` rounds.

    Args:
        options: ``warm_up_s`` is the time limit.
        clock: monotonic seconds.
    """
    start = clock()
    rounds = 0
    medians_ms: list[float] = []
    while not _agree(medians_ms):
        window: list[float] = []
        window_start = before = clock()
        while len(window) < MIN_ROUNDS or before - window_start < WINDOW_S:
            if rounds >= MIN_ROUNDS and before - start >= options.warm_up_s:
                progress("warm-up", 1)
                return WarmUp(before - start, rounds, False, tuple(medians_ms))
            for turn in turns:
                turn.prepare()
                turn.call()
            rounds += 1
            now = clock()
            window.append((now - before) * MS_PER_S)
            before = now
            by_time = (now - start) / options.warm_up_s if options.warm_up_s else 1
            progress("warm-up", min(rounds / MIN_ROUNDS, by_time, 1))
        medians_ms.append(float(np.median(window)))
    progress("warm-up", 1)
    return WarmUp(clock() - start, rounds, True, tuple(medians_ms))


def _agree(medians_ms: Sequence[float]) -> bool:
    """Return whether the medians of the last two windows differ by no more than AGREE."""
    if len(medians_ms) < 2:
        return False
    before, last = medians_ms[-2:]
    return abs(last - before) <= AGREE * before
