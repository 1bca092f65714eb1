"""Interleaved timing of candidates in one run, in a new random order each round.

A device that gets slower meanwhile then slows all candidates alike. A turn starts with untimed
calls of its own: they warm the caches for this candidate alone, and give the threads of the turn
before time to go idle (ONNX Runtime's keep spinning after a call; 25 ms were observed).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgeexit_runtime.progress import Progress

SETTLE_S = 0.03
CALLS_PER_TURN = 5
MIN_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Turn:
    """One candidate.

    Attributes:
        name: the candidate's name.
        prepare: untimed; sets up state shared with other candidates for its own calls.
        call: runs the candidate once and returns the milliseconds of each part that it timed.
    """

    name: str
    prepare: Callable[[], object]
    call: Callable[[], tuple[float, ...]]


def take_turns(
    turns: Sequence[Turn], rounds: int, duration_s: float, seed: int, progress: Progress
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Time the candidates; return for each the times of its calls, in milliseconds.

    Args:
        turns: the candidates, with different names.
        rounds: maximum number of turns of each.
        duration_s: no round starts after this many seconds, but :data:`MIN_ROUNDS` are always run.
        seed: seed of the order within each round.
        progress: progress callback.
    """
    times: dict[str, list[tuple[float, ...]]] = {turn.name: [] for turn in turns}
    rng = np.random.default_rng(seed)
    for _ in _rounds(rounds, duration_s, progress):
        for index in rng.permutation(len(turns)):
            turn = turns[index]
            turn.prepare()
            settle(turn.call)
            times[turn.name] += [turn.call() for _ in range(CALLS_PER_TURN)]
    return {name: tuple(calls) for name, calls in times.items()}


def settle(call: Callable[[], object]) -> None:
    """Run untimed calls, at least one, until threads of earlier calls are idle."""
    stop = time.perf_counter() + SETTLE_S
    call()
    while time.perf_counter() < stop:
        call()


def _rounds(rounds: int, duration_s: float, progress: Progress) -> Iterator[int]:
    """Yield round numbers until there are enough or the time is up."""
    start = time.perf_counter()
    for number in range(rounds):
        elapsed_s = time.perf_counter() - start
        by_time = min(elapsed_s / duration_s, number / MIN_ROUNDS)
        if by_time >= 1:
            break
        progress("parts and paths", max(by_time, number / rounds))
        yield number
    progress("parts and paths", 1)
