"""Passes of all candidates over the same images, interleaved block by block."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.timing.calls import time_call
from edgeexit_runtime.timing.turns import settle
from numpy.typing import NDArray

from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.timing.candidates import Candidate

# Samples that one candidate runs before the next one runs them: enough for it to run as it would
# alone, and few enough for all candidates to meet the device in the same state.
BLOCK = 32


class Runs:
    """One candidate's runs over N images.

    Attributes:
        candidate: that ran.
        left_at, labels: (N,) int64, the exit and the predicted label of each image's last run.
        queries: (q,) each, the images of every query by index, in the order of execution; the same
            for all candidates.
    """

    def __init__(self, candidate: Candidate, images: NDArray[np.float32]) -> None:
        self.candidate = candidate
        self.left_at = np.zeros(len(images), np.int64)
        self.labels = np.zeros(len(images), np.int64)
        self.queries: list[NDArray[np.intp]] = []
        self._images = images
        self._times_ms: list[float] = []

    @property
    def times_ms(self) -> NDArray[np.float64]:
        """(queries,) over all passes, in the order of execution."""
        return np.array(self._times_ms)

    def by_image(self) -> NDArray[np.float64]:
        """Return the times of queries of one image as (passes, N), in the order of the images."""
        order = np.concatenate(self.queries).reshape(-1, len(self.labels))
        times_ms = np.empty(order.shape)
        np.put_along_axis(times_ms, order, self.times_ms.reshape(order.shape), axis=1)
        return times_ms

    def run(self, queries: NDArray[np.intp]) -> None:
        """Time queries (b, q), each of q images by index; record their labels and exits."""
        session = self.candidate.session
        infer, wait = session.infer, session.runner.synchronize
        self.candidate.prepare()
        settle(partial(infer, self._take(queries[0])))
        for query in queries:
            images = self._take(query)
            milliseconds, answer = time_call(partial(infer, images), wait)
            self.queries.append(query)
            self._times_ms.append(milliseconds)
            self.left_at[query], self.labels[query] = answer.exits, answer.labels

    def _take(self, query: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return a query's images; a single one as a view, since apps do not copy it either."""
        if len(query) == 1:
            return self._images[query[0] : query[0] + 1]
        return self._images[query]


def take_passes(
    candidates: Sequence[Candidate],
    images: NDArray[np.float32],
    samples_per_query: int,
    options: BenchOptions,
    progress: Progress,
    step: str,
) -> tuple[Runs, ...]:
    """Run all candidates over all images until there are enough passes or time is up.

    Every pass is complete, in a new order of the images that follows from the seed. If
    ``samples_per_query`` does not divide the number of images, the remainder is omitted; it
    differs from pass to pass.

    Args:
        candidates: run in a new random order in every block.
        images: (N, C, H, W) float32, N at least ``samples_per_query``.
        step: name of the measurement, for ``progress``.
    """
    rng = np.random.default_rng(options.seed)
    runs = tuple(Runs(candidate, images) for candidate in candidates)
    count = len(images) // samples_per_query
    block = max(1, BLOCK // samples_per_query)
    for report in each_pass(options, progress, step):
        shuffled = rng.permutation(len(images))[: count * samples_per_query]
        queries = shuffled.reshape(count, samples_per_query)
        for first in range(0, count, block):
            for index in rng.permutation(len(runs)):
                runs[index].run(queries[first : first + block])
            report(min(first + block, count) / count)
    return runs


def each_pass(
    options: BenchOptions, progress: Progress, step: str
) -> Iterator[Callable[[float], None]]:
    """Yield once per pass, at least once, until there are enough passes or time is up.

    Yields a callback that takes the finished fraction of the pass, for ``progress``.
    """
    start = time.perf_counter()

    def elapsed() -> float:
        return (time.perf_counter() - start) / options.duration_s

    def report(number: int, of_pass: float) -> None:
        done = max(elapsed(), (number + of_pass) / options.rounds)
        progress(step, min(done, of_pass if number == 0 else 1))

    for number in range(options.rounds):
        if number > 0 and elapsed() >= 1:
            break
        yield partial(report, number)
    progress(step, 1)
