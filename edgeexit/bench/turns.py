"""Alternatives timed in turns within one run, in a new random order each round.

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

from edgeexit.bench.report import BenchOptions

__all__ = ["MIN_ROUNDS", "Progress", "Turn", "settle", "take_turns", "warm_up"]

SETTLE_S = 0.03
CALLS_PER_TURN = 5
MIN_ROUNDS = 10

Progress = Callable[[str, float], None]
"""Called with what is being measured and which fraction of it, 0 to 1, is done."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One alternative.

    Attributes:
        name: of the alternative.
        prepare: untimed; makes what it shares with others ready for its own calls.
        call: does it once and returns the milliseconds of each thing that it timed.
    """

    name: str
    prepare: Callable[[], object]
    call: Callable[[], tuple[float, ...]]


def warm_up(turns: Sequence[Turn], options: BenchOptions, progress: Progress) -> None:
    """Go around untimed for ``options.warm_up_s``, and for :data:`MIN_ROUNDS` at least."""
    start = time.perf_counter()
    rounds = 0
    while rounds < MIN_ROUNDS or time.perf_counter() - start < options.warm_up_s:
        for turn in turns:
            turn.prepare()
            turn.call()
        rounds += 1
        elapsed_s = time.perf_counter() - start
        by_time = elapsed_s / options.warm_up_s if options.warm_up_s else 1
        progress("warm-up", min(rounds / MIN_ROUNDS, by_time, 1))
    progress("warm-up", 1)


def take_turns(
    turns: Sequence[Turn], options: BenchOptions, progress: Progress
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Time the alternatives; return for each the times of its calls, in milliseconds."""
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
