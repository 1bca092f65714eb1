"""Candidates over the same images, pass by pass, in blocks that they take in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.timing.calls import time_call
from edgeexit_runtime.timing.turns import settle
from numpy.typing import NDArray

from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.timing.candidates import Candidate

# Samples that one candidate takes before the next takes them: so many that it runs as it would
# alone, and so few that all see the device in the same state.
BLOCK = 32


class Runs:
    """One candidate's runs over N images.

    Attributes:
        candidate: what ran.
        left_at, labels: (N,) int64, the exit and the answer of each image's last run.
    """

    def __init__(self, candidate: Candidate, images: NDArray[np.float32]) -> None:
        self.candidate = candidate
        self.left_at = np.zeros(len(images), np.int64)
        self.labels = np.zeros(len(images), np.int64)
        self._images = images
        self._times_ms: list[float] = []

    @property
    def times_ms(self) -> NDArray[np.float64]:
        """(queries,) of all passes, in the order in which they were run."""
        return np.array(self._times_ms)

    def run(self, queries: NDArray[np.intp]) -> None:
        """Time queries (b, q), each of q images by index; write down answers and exits."""
        session = self.candidate.session
        infer, wait = session.infer, session.runner.synchronize
        self.candidate.prepare()
        settle(partial(infer, self._take(queries[0])))
        for query in queries:
            images = self._take(query)
            milliseconds, answer = time_call(partial(infer, images), wait)
            self._times_ms.append(milliseconds)
            self.left_at[query], self.labels[query] = answer.exits, answer.labels

    def _take(self, query: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return a query's images; a single one where it lies, as an app's camera hands it over."""
        if len(query) == 1:
            return self._images[query[0] : query[0] + 1]
        return self._images[query]


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """What all candidates did.

    Attributes:
        orders: (passes, queries, q), the images of each query by index; the same for all.
        runs: of each candidate.
    """

    orders: NDArray[np.intp]
    runs: tuple[Runs, ...]

    def by_image(self, runs: Runs) -> NDArray[np.float64]:
        """Return the times of queries of one image as (passes, N), in the order of the images."""
        passes, queries, _ = self.orders.shape
        times_ms = np.empty((passes, queries))
        np.put_along_axis(
            times_ms, self.orders[..., 0], runs.times_ms.reshape(passes, queries), axis=1
        )
        return times_ms


def take_passes(
    candidates: Sequence[Candidate],
    images: NDArray[np.float32],
    samples_per_query: int,
    options: BenchOptions,
    progress: Progress,
    step: str,
) -> Passes:
    """Let all candidates run over all images until there are enough passes or time is over.

    A pass is always a whole one, in a new order of the images that follows from the seed. Where
    ``samples_per_query`` does not divide their number, those that fill no query are left out, of
    each pass others.

    Args:
        candidates: what runs; they take turns in a new random order in every block.
        images: (N, C, H, W) float32, N at least ``samples_per_query``.
        step: what is measured, for ``progress``.
    """
    rng = np.random.default_rng(options.seed)
    runs = tuple(Runs(candidate, images) for candidate in candidates)
    queries = len(images) // samples_per_query
    block = max(1, BLOCK // samples_per_query)
    orders: list[NDArray[np.intp]] = []
    for told in each_pass(options, progress, step):
        shuffled = rng.permutation(len(images))[: queries * samples_per_query]
        orders.append(shuffled.reshape(queries, samples_per_query))
        for first in range(0, queries, block):
            for index in rng.permutation(len(runs)):
                runs[index].run(orders[-1][first : first + block])
            told(min(first + block, queries) / queries)
    return Passes(np.stack(orders), runs)


def each_pass(
    options: BenchOptions, progress: Progress, step: str
) -> Iterator[Callable[[float], None]]:
    """Yield once for each pass, one at least, until there are enough or time is over.

    What is yielded is to be told which fraction of its pass is done.
    """
    start = time.perf_counter()

    def elapsed() -> float:
        return (time.perf_counter() - start) / options.duration_s

    def tell(number: int, of_pass: float) -> None:
        done = max(elapsed(), (number + of_pass) / options.rounds)
        progress(step, min(done, of_pass if number == 0 else 1))

    for number in range(options.rounds):
        if number > 0 and elapsed() >= 1:
            break
        yield partial(tell, number)
    progress(step, 1)
