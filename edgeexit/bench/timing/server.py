"""Server: queries arrive in a Poisson process whether the last one is answered or not.

An open loop: a slow answer delays those behind it, and their latency counts from when they were
due, not from when they were begun. One query is answered at a time, first come, first served.

Candidates take turns in short segments. Each has a clock of its own that stands still while
others have theirs, so that its queue goes on as it was.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.timing.turns import settle
from numpy.typing import NDArray

from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.mixture import BASELINE
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.scenarios import Server, ServerResult
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import RESAMPLES, resample_rounds
from edgeexit.statistics.percentiles import Percentile, percentiles

SEGMENT_S = 0.5
GIVE_UP = 2  # times the duration, after which what still waits is not answered any more
SPIN_S = 0.001  # a sleeping thread may wake up this much too late
MS_PER_S = 1e3
PERCENTS = (50, 90, 99)
FEWEST_RESAMPLES, MOST_DRAWN = 200, 4_000_000  # of long series fewer, which takes a second


class Clock:
    """Seconds that never run backwards, and waiting for one of them."""

    def now(self) -> float:
        """Return the seconds since some moment."""
        return time.perf_counter()

    def wait_until(self, moment: float) -> None:
        """Return at ``moment``, within microseconds; at once where it is over."""
        while (left := moment - self.now()) > 0:
            if left > SPIN_S:
                time.sleep(left - SPIN_S)


def poisson_arrivals(qps: float, duration_s: float, seed: int) -> NDArray[np.float64]:
    """Return the arrivals (Q,) within ``duration_s``, ascending seconds, of a Poisson process.

    Given their number, which is Poisson, they are uniform and independent over the time.
    """
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0, duration_s, rng.poisson(qps * duration_s)))


class _Queue:
    """One candidate and its queries, on a clock that can be stopped."""

    def __init__(
        self,
        candidate: Candidate,
        images: NDArray[np.float32],
        order: NDArray[np.intp],
        arrivals: NDArray[np.float64],
        duration_s: float,
        clock: Clock,
    ) -> None:
        self.candidate = candidate
        self.starts: list[float] = []
        self.ends: list[float] = []
        self._images = images
        self._order = order
        self._arrivals = arrivals
        self._give_up = GIVE_UP * duration_s
        self._clock = clock
        self._now = 0.0

    @property
    def finished(self) -> bool:
        """Whether all queries are answered, or the rest given up."""
        return len(self.ends) == len(self._arrivals) or self._now >= self._give_up

    @property
    def progress(self) -> float:
        """Which fraction of the queries is answered, or of the time over, 0 to 1."""
        return min(1.0, max(len(self.ends) / len(self._arrivals), self._now / self._give_up))

    def run_segment(self, seconds: float) -> None:
        """Answer queries, and wait for them, for some time."""
        self.candidate.prepare()
        settle(partial(self._answer, 0))
        offset = self._clock.now() - self._now
        stop = self._now + seconds
        while not self.finished and self._now < stop:
            index = len(self.ends)
            self._clock.wait_until(offset + min(self._arrivals[index], stop))
            self._now = self._clock.now() - offset
            if self._now < self._arrivals[index]:
                return
            self.starts.append(self._now)
            self._answer(index)
            self._now = self._clock.now() - offset
            self.ends.append(self._now)

    def _answer(self, index: int) -> None:
        image = self._order[index % len(self._order)]
        session = self.candidate.session
        session.infer(self._images[image : image + 1])
        session.runner.synchronize()


def measure_server(
    candidates: Sequence[Candidate],
    images: BenchImages,
    options: BenchOptions,
    progress: Progress,
    clock: Clock | None = None,
    arrivals: NDArray[np.float64] | None = None,
) -> Server:
    """Let the same queries arrive at every candidate, for ``options.duration_s`` each.

    What is not answered after twice that time is given up, and the queue is not stable then.

    Args:
        images: real ones, in an order that follows from the seed, again and again.
        options: ``qps`` is not None, and at least one query arrives.
        clock: seconds, and waiting for them; left out, the real ones.
        arrivals: when, in seconds from the start, ascending; left out, as ``qps`` and the seed say.
    """
    assert options.qps is not None
    if arrivals is None:
        arrivals = poisson_arrivals(options.qps, options.duration_s, options.seed)
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(len(images.images))
    queues = [
        _Queue(it, images.images, order, arrivals, options.duration_s, clock or Clock())
        for it in candidates
    ]
    while waiting := [queue for queue in queues if not queue.finished]:
        for index in rng.permutation(len(waiting)):
            waiting[index].run_segment(SEGMENT_S)
            progress("server", sum(queue.progress for queue in queues) / len(queues))
    progress("server", 1)
    return Server(
        qps=options.qps,
        duration_s=options.duration_s,
        queries=len(arrivals),
        results=_with_intervals(
            [_result(queue, arrivals, options, len(images.images)) for queue in queues],
            next((it.label for it in candidates if it.role == BASELINE), None),
        ),
    )


def _result(
    queue: _Queue, arrivals: NDArray[np.float64], options: BenchOptions, images: int
) -> ServerResult:
    assert options.qps is not None
    starts, ends = np.array(queue.starts), np.array(queue.ends)
    completed = len(ends)
    service_s = ends - starts
    load = options.qps * float(service_s.mean())
    stable = load < 1 and completed == len(arrivals)
    latency_ms = (ends - arrivals[:completed]) * MS_PER_S
    span = max(options.duration_s, float(ends[-1]))
    return ServerResult(
        name=queue.candidate.label,
        completed=completed,
        backlog=len(arrivals) - int(np.count_nonzero(ends <= arrivals[-1])),
        achieved_qps=completed / span,
        load=load,
        stable=stable,
        utilization=float(service_s.sum()) / span,
        service_mean_ms=float(service_s.mean()) * MS_PER_S,
        mean_ms=float(latency_ms.mean()),
        percentiles=tuple(
            dataclasses.replace(
                found, low_ms=None, high_ms=None, value_ms=found.value_ms if stable else None
            )
            for found in percentiles(latency_ms, PERCENTS, independent=images)
        ),
        times_ms=tuple(latency_ms.tolist()),
    )


def _with_intervals(
    results: Sequence[ServerResult], baseline: str | None
) -> tuple[ServerResult, ...]:
    """Return the results with intervals of what stable queues have, by stretches of queries.

    The same queries are drawn of all, so that what arrivals do to all alike is not in the ratios.
    """
    stable = {it.name: np.array(it.times_ms)[:, None] for it in results if it.stable}
    if not stable:
        return tuple(results)
    longest = max(map(len, stable.values()))
    resampled = resample_rounds(
        list(stable.values()),
        _statistics,
        np.random.default_rng(0),
        max(FEWEST_RESAMPLES, min(RESAMPLES, MOST_DRAWN // longest)),
    )
    drawn = dict(zip(stable, resampled, strict=True))

    def ratio(name: str) -> Interval | None:
        if baseline not in drawn:
            return None
        value = float(stable[name].mean() / stable[baseline].mean())
        return Interval.of(value, drawn[name][:, -1] / drawn[baseline][:, -1])

    return tuple(
        dataclasses.replace(it, percentiles=_enclosed(it, drawn[it.name]), ratio=ratio(it.name))
        if it.stable
        else it
        for it in results
    )


def _statistics(times_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the percentiles and the mean of each row, (R, len(PERCENTS) + 1)."""
    found = np.percentile(times_ms, PERCENTS, axis=1)
    return np.column_stack([*found, times_ms.mean(axis=1)])


def _enclosed(result: ServerResult, drawn: NDArray[np.float64]) -> tuple[Percentile, ...]:
    intervals = [
        None if it.value_ms is None else Interval.of(it.value_ms, drawn[:, column])
        for column, it in enumerate(result.percentiles)
    ]
    return tuple(
        found if it is None else dataclasses.replace(found, low_ms=it.low, high_ms=it.high)
        for found, it in zip(result.percentiles, intervals, strict=True)
    )
