"""Time two implementations of the same as pairs in random order within one run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from edgeexit_runtime.timing.calls import time_call
from numpy.typing import NDArray

MIN_PAIRS = 50


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median and its 95 % confidence interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Milliseconds of both, (pairs,) each; entries i of both were timed together."""

    first_ms: NDArray[np.float64]
    second_ms: NDArray[np.float64]

    @property
    def ratio(self) -> Estimate:
        """First over second."""
        return estimate(self.first_ms / self.second_ms)

    @property
    def note(self) -> str:
        """Both medians and the number of pairs, as text."""
        first, second = float(np.median(self.first_ms)), float(np.median(self.second_ms))
        return f"{first:.3f} and {second:.3f} ms, {len(self.first_ms)} pairs"


def time_pairs(
    first: Callable[[], object],
    second: Callable[[], object],
    *,
    duration_s: float,
    seed: int,
    min_pairs: int = MIN_PAIRS,
    warm_up: int = 10,
    settle: bool = False,
) -> Pairs:
    """Time pairs of calls until the time is over, but at least ``min_pairs``.

    Args:
        first, second: what to time; each returns when its work is done.
        duration_s: seconds after which no pair starts.
        seed: of the order within each pair.
        min_pairs: the least number of pairs, whatever the time.
        warm_up: untimed pairs before.
        settle: precede every timed call by an untimed one, so that caches and threads are in the
            state that the call itself leaves.
    """
    calls = (first, second)
    for _ in range(warm_up):
        first(), second()
    rng = np.random.default_rng(seed)
    pairs: list[list[float]] = []
    start = time.perf_counter()
    while len(pairs) < min_pairs or time.perf_counter() - start < duration_s:
        pair = [0.0, 0.0]
        for which in rng.permutation(2):
            if settle:
                calls[which]()
            pair[which], _ = time_call(calls[which], _nothing)
        pairs.append(pair)
    first_ms, second_ms = np.array(pairs).T
    return Pairs(first_ms, second_ms)


def estimate(samples: NDArray[np.float64]) -> Estimate:
    """Return the median and, from the order statistics, its interval for any distribution."""
    ordered = np.sort(samples)
    count = len(ordered)
    half = 0.98 * math.sqrt(count)  # 1.96 standard deviations of a binomial of one half
    low, high = math.floor(count / 2 - half), math.ceil(count / 2 + half)
    return Estimate(
        float(np.median(ordered)),
        float(ordered[max(low, 0)]),
        float(ordered[min(high, count - 1)]),
    )


def _nothing() -> None:
    """Wait for nothing: a call returns when its work is done."""
