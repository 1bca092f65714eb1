"""Server scenario: queries arrive whether or not the previous one is answered.

They arrive in a Poisson process, the same for every candidate, and are answered one at a time,
first come, first served. A slow answer delays the queries behind it; latency is measured from the
scheduled arrival, not from the start of processing.

Candidates are interleaved in short segments. Each has its own clock, so that its queue resumes
where its last segment ended.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.timing.calls import MS_PER_S
from edgeexit_runtime.timing.turns import settle
from numpy.typing import NDArray

from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.scenarios import Server, ServerResult
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import RESAMPLES, resample_rounds
from edgeexit.statistics.percentiles import PERCENTS, Percentile, percentiles

GIVE_UP = 2  # times the duration; queries that still wait then are dropped
SPIN_S = 0.001  # a sleeping thread may wake up this much too late
SEGMENT_S = 0.5
FEWEST_RESAMPLES, MOST_DRAWN = 200, 4_000_000  # fewer resamples of long series, to take a second


class Clock:
    """A monotonic clock in seconds, which can also wait."""

    def now(self) -> float:
        """Return the seconds since an arbitrary reference point."""
        return time.perf_counter()

    def wait_until(self, moment: float) -> None:
        """Block until ``moment``, within microseconds; return at once if it has passed."""
        while (left := moment - self.now()) > 0:
            if left > SPIN_S:
                time.sleep(left - SPIN_S)


def poisson_arrivals(qps: float, duration_s: float, seed: int) -> NDArray[np.float64]:
    """Return the arrivals (Q,) within ``duration_s``, ascending seconds, of a Poisson process.

    Given their number, which is Poisson, they are independent and uniform over the duration.
    """
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0, duration_s, rng.poisson(qps * duration_s)))


class Queue:
    """One candidate and its queries, on a clock that pauses while other candidates run.

    Attributes:
        candidate: that answers the queries.
        arrivals: of the queries, ascending seconds.
        starts, ends: seconds at which each query so far was started and answered.

    Args:
        images: (1, C, H, W) float32 each, that the queries cycle through.
        options: ``qps``, and ``duration_s`` within which queries arrive.
    """

    def __init__(
        self,
        candidate: Candidate,
        images: Sequence[NDArray[np.float32]],
        arrivals: NDArray[np.float64],
        options: BenchOptions,
        clock: Clock,
    ) -> None:
        self.candidate = candidate
        self.arrivals = arrivals
        self.starts: list[float] = []
        self.ends: list[float] = []
        self._images = images
        self._options = options
        self._clock = clock
        self._now = 0.0

    @property
    def latency_ms(self) -> NDArray[np.float64]:
        """Latency of each answered query in milliseconds, from its scheduled arrival."""
        late_s = np.array(self.ends) - self.arrivals[: len(self.ends)]
        latency_ms: NDArray[np.float64] = late_s * MS_PER_S
        return latency_ms

    @property
    def progress(self) -> float:
        """Fraction of the queries answered, or of the time passed if that is larger, 0 to 1.

        At 1, all queries are answered, or the rest dropped.
        """
        by_time = self._now / (GIVE_UP * self._options.duration_s)
        return min(1.0, max(len(self.ends) / len(self.arrivals), by_time))

    def run_segment(self, seconds: float) -> None:
        """Wait for queries and answer them, for this many seconds."""
        self.candidate.prepare()
        settle(partial(self._answer, 0))
        offset = self._clock.now() - self._now
        stop = self._now + seconds
        while self.progress < 1 and self._now < stop:
            index = len(self.ends)
            self._clock.wait_until(offset + min(self.arrivals[index], stop))
            self._now = self._clock.now() - offset
            if self._now < self.arrivals[index]:
                return
            self.starts.append(self._now)
            self._answer(index)
            self._now = self._clock.now() - offset
            self.ends.append(self._now)

    def _answer(self, index: int) -> None:
        session = self.candidate.session
        session.infer(self._images[index % len(self._images)])
        session.runner.synchronize()

    def result(self) -> ServerResult:
        """Return its figures, with percentiles as of independent queries, and without a ratio."""
        options, ends, latency_ms = self._options, np.array(self.ends), self.latency_ms
        service_s = ends - np.array(self.starts)
        assert options.qps is not None
        load = options.qps * float(service_s.mean())
        span = max(options.duration_s, float(ends[-1]))
        return ServerResult(
            name=self.candidate.label,
            completed=len(ends),
            backlog=len(self.arrivals) - int(np.count_nonzero(ends <= self.arrivals[-1])),
            achieved_qps=len(ends) / span,
            load=load,
            stable=load < 1 and len(ends) == len(self.arrivals),
            utilization=float(service_s.sum()) / span,
            service_mean_ms=float(service_s.mean()) * MS_PER_S,
            mean_ms=float(latency_ms.mean()),
            percentiles=percentiles(latency_ms, independent=len(self._images)),
            times_ms=tuple(latency_ms.tolist()),
        )


def measure_server(
    candidates: Sequence[Candidate],
    images: BenchImages,
    options: BenchOptions,
    progress: Progress,
    clock: Clock | None = None,
    arrivals: NDArray[np.float64] | None = None,
) -> Server:
    """Send the same queries to every candidate, for ``options.duration_s`` each.

    Queries unanswered after twice that time are dropped, and the queue counts as not stable.

    Args:
        candidates: to compare, the baseline first.
        images: real images; queries cycle through them in an order that follows from the seed.
        options: ``qps`` is not None, and at least one query arrives.
        clock: None for the real one.
        arrivals: ascending seconds from the start; None draws them from ``qps`` and the seed.
    """
    assert options.qps is not None
    if arrivals is None:
        arrivals = poisson_arrivals(options.qps, options.duration_s, options.seed)
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(len(images.images)).tolist()
    shuffled = [images.images[index : index + 1] for index in order]  # views, no copies
    queues = [Queue(it, shuffled, arrivals, options, clock or Clock()) for it in candidates]
    while waiting := [queue for queue in queues if queue.progress < 1]:
        for index in rng.permutation(len(waiting)):
            waiting[index].run_segment(SEGMENT_S)
            progress("server", sum(queue.progress for queue in queues) / len(queues))
    progress("server", 1)
    results = _with_intervals([queue.result() for queue in queues])
    return Server(options.qps, options.duration_s, len(arrivals), results)


def _with_intervals(results: Sequence[ServerResult]) -> tuple[ServerResult, ...]:
    """Return the results with intervals and ratios of stable queues, and no others' percentiles.

    Each resample draws the same queries for all candidates, so that the effect of the arrivals,
    which is common to all, cancels in the ratios.
    """
    baseline = results[0]
    drawn = _resampled({it.name: np.array(it.times_ms) for it in results if it.stable})
    found = []
    for result in results:
        ratio = None
        if result.stable and baseline.stable:
            value = float(np.mean(result.times_ms) / np.mean(baseline.times_ms))
            ratio = Interval.of(value, drawn[result.name][:, -1] / drawn[baseline.name][:, -1])
        enclosed = tuple(
            _enclosed(it, drawn[result.name][:, column] if result.stable else None)
            for column, it in enumerate(result.percentiles)
        )
        found.append(dataclasses.replace(result, percentiles=enclosed, ratio=ratio))
    return tuple(found)


def _resampled(times_ms: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return resampled percentiles and mean (R, len(PERCENTS) + 1), drawn in blocks of queries."""
    if not times_ms:
        return {}
    longest = max(map(len, times_ms.values()))
    resampled = resample_rounds(
        [times[:, None] for times in times_ms.values()],
        _statistics,
        np.random.default_rng(0),
        max(FEWEST_RESAMPLES, min(RESAMPLES, MOST_DRAWN // longest)),
    )
    return dict(zip(times_ms, resampled, strict=True))


def _statistics(times_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the percentiles and the mean of each row, (R, len(PERCENTS) + 1)."""
    found = np.percentile(times_ms, PERCENTS, axis=1)
    return np.column_stack([*found, times_ms.mean(axis=1)])


def _enclosed(found: Percentile, drawn: NDArray[np.float64] | None) -> Percentile:
    """Return a percentile with the interval of resamples, or without values if there are none."""
    if drawn is None or found.value_ms is None:
        return dataclasses.replace(found, value_ms=None, low_ms=None, high_ms=None)
    interval = Interval.of(found.value_ms, drawn)
    return dataclasses.replace(found, low_ms=interval.low, high_ms=interval.high)
