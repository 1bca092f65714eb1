"""Server scenario: queries arrive in a Poisson process, the same for every candidate.

Candidates are interleaved in short segments. Each has its own clock, so that its queue resumes
where its last segment ended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.timing.calls import MS_PER_S
from numpy.typing import NDArray

from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.mixture import BASELINE
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.scenarios import Server, ServerResult
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.bench.timing.scenarios.arrivals import Clock, Queue, poisson_arrivals
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import RESAMPLES, resample_rounds
from edgeexit.statistics.percentiles import Percentile, percentiles

SEGMENT_S = 0.5
PERCENTS = (50, 90, 99)
FEWEST_RESAMPLES, MOST_DRAWN = 200, 4_000_000  # fewer resamples of long series, to take a second


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
        images: real images; queries cycle through them in an order that follows from the seed.
        options: ``qps`` is not None, and at least one query arrives.
        clock: None for the real one.
        arrivals: ascending seconds from the start; None draws them from ``qps`` and the seed.
    """
    assert options.qps is not None
    if arrivals is None:
        arrivals = poisson_arrivals(options.qps, options.duration_s, options.seed)
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(len(images.images))
    queues = [
        Queue(it, images.images, order, arrivals, options.duration_s, clock or Clock())
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
        results=_results(queues, options.qps, options.duration_s, len(images.images)),
    )


def _results(
    queues: Sequence[Queue], qps: float, duration_s: float, images: int
) -> tuple[ServerResult, ...]:
    """Return the results of the candidates, with intervals for stable queues.

    Each resample draws the same queries for all candidates, so that the effect of the arrivals,
    which is common to all, cancels in the ratios.
    """
    stable = {queue.candidate.label: queue.latency_ms for queue in queues if _is_stable(queue, qps)}
    drawn = _resampled(stable)
    roles = {queue.candidate.role: queue.candidate.label for queue in queues}
    baseline = roles.get(BASELINE)

    def ratio(name: str) -> Interval | None:
        if name not in stable or baseline not in stable:
            return None
        value = float(stable[name].mean() / stable[baseline].mean())
        return Interval.of(value, drawn[name][:, -1] / drawn[baseline][:, -1])

    names = [queue.candidate.label for queue in queues]
    return tuple(
        _result(queue, qps, duration_s, _percentiles(queue, images, drawn.get(name)), ratio(name))
        for queue, name in zip(queues, names, strict=True)
    )


def _load(queue: Queue, qps: float) -> float:
    return qps * float(queue.service_s.mean())


def _is_stable(queue: Queue, qps: float) -> bool:
    return _load(queue, qps) < 1 and len(queue.ends) == len(queue.arrivals)


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


def _percentiles(
    queue: Queue, images: int, drawn: NDArray[np.float64] | None
) -> tuple[Percentile, ...]:
    """Return the percentiles; without values if ``drawn`` is None, as for unstable queues."""
    found = percentiles(queue.latency_ms, PERCENTS, independent=images)
    if drawn is None:
        return tuple(Percentile(it.percent, it.queries, it.count, None, None, None) for it in found)
    return tuple(
        it if it.value_ms is None else _enclosed(it, Interval.of(it.value_ms, drawn[:, column]))
        for column, it in enumerate(found)
    )


def _enclosed(found: Percentile, interval: Interval) -> Percentile:
    return dataclasses.replace(found, low_ms=interval.low, high_ms=interval.high)


def _result(
    queue: Queue,
    qps: float,
    duration_s: float,
    found: tuple[Percentile, ...],
    ratio: Interval | None,
) -> ServerResult:
    arrivals, ends = queue.arrivals, np.array(queue.ends)
    span = max(duration_s, float(ends[-1]))
    return ServerResult(
        name=queue.candidate.label,
        completed=len(ends),
        backlog=len(arrivals) - int(np.count_nonzero(ends <= arrivals[-1])),
        achieved_qps=len(ends) / span,
        load=_load(queue, qps),
        stable=_is_stable(queue, qps),
        utilization=float(queue.service_s.sum()) / span,
        service_mean_ms=float(queue.service_s.mean()) * MS_PER_S,
        mean_ms=float(queue.latency_ms.mean()),
        percentiles=found,
        times_ms=tuple(queue.latency_ms.tolist()),
        ratio=ratio,
    )
