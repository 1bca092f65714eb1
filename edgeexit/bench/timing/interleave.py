"""Candidates timed in turns within one run, in a new random order each round.

A device that gets slower in the meantime then slows all of them alike. A turn begins with untimed
calls of its own: they bring the caches into the state of a device that does this and nothing
else, and let the threads of the turn before come to rest (ONNX Runtime's keep spinning after a
call; 25 ms have been seen).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from edgeexit_runtime.progress import Progress

from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.timings import WarmUp

SETTLE_S = 0.03
CALLS_PER_TURN = 5
MIN_ROUNDS = 10
WINDOW_S = 0.5
AGREE = 0.05
MS_PER_S = 1e3


@dataclass(frozen=True, slots=True)
class Turn:
    """One candidate.

    Attributes:
        name: of the candidate.
        prepare: untimed; makes what it shares with others ready for its own calls.
        call: does it once and returns the milliseconds of each thing that it timed.
    """

    name: str
    prepare: Callable[[], object]
    call: Callable[[], tuple[float, ...]]


def warm_up(
    turns: Sequence[Turn],
    options: BenchOptions,
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> WarmUp:
    """Go around untimed until the device is at its speed.

    That is where the median rounds of two windows of :data:`WINDOW_S`, one after the other, differ
    by no more than :data:`AGREE`. It ends at the latest after ``options.warm_up_s``, but not before
    :data:`MIN_ROUNDS` rounds.

    Args:
        turns: what goes around.
        options: how long at most.
        progress: told how far it is.
        clock: seconds that never run backwards.
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
    """Whether the last two windows took the same, as nearly as a device repeats itself."""
    if len(medians_ms) < 2:
        return False
    before, last = medians_ms[-2:]
    return abs(last - before) <= AGREE * before


def take_turns(
    turns: Sequence[Turn], options: BenchOptions, progress: Progress
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Time the candidates; return for each the times of its calls, in milliseconds."""
    times: dict[str, list[tuple[float, ...]]] = {turn.name: [] for turn in turns}
    rng = np.random.default_rng(options.seed)
    for _ in _rounds(options, progress):
        for index in rng.permutation(len(turns)):
            turn = turns[index]
            turn.prepare()
            settle(turn.call)
            times[turn.name] += [turn.call() for _ in range(CALLS_PER_TURN)]
    return {name: tuple(calls) for name, calls in times.items()}


def settle(call: Callable[[], object]) -> None:
    """Call untimed, once at least, until what ran before has come to rest."""
    stop = time.perf_counter() + SETTLE_S
    call()
    while time.perf_counter() < stop:
        call()


def _rounds(options: BenchOptions, progress: Progress) -> Iterator[int]:
    """Yield the numbers of rounds until there are enough or the time is over."""
    start = time.perf_counter()
    for number in range(options.rounds):
        elapsed_s = time.perf_counter() - start
        by_time = min(elapsed_s / options.duration_s, number / MIN_ROUNDS)
        if by_time >= 1:
            break
        progress("parts and paths", max(by_time, number / options.rounds))
        yield number
    progress("parts and paths", 1)
