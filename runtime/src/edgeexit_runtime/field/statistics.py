"""Statistics of a session's answers: recorded per call, summed up on request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.bundle.expected_entry import BINS, count_answers
from edgeexit_runtime.field.drift import Start
from edgeexit_runtime.gate import Predictions

BUFFER_SIZE = 1024
"""Images, and calls, that are buffered before they are counted, so that few calls pay for it."""
NS_PER_MS = 1_000_000

_STEP = math.log(1.01)
_DURATIONS = 2800
"""Number of bins of 1 % each, from 1 ns to 20 minutes; the last also holds longer calls."""


@dataclass(frozen=True, slots=True)
class ExitStatistics:
    """Statistics of one exit.

    Attributes:
        name: the exit's name.
        images: number of images that left here, including those cut short.
        share: their share of all images, 0 to 1; 0 if there were none.
        mean_confidence: of these answers; None if there are none.
        histogram: of their confidences, one count for each bin of
            :data:`edgeexit_runtime.bundle.expected_entry.CONFIDENCE_EDGES`.
        cut_short: number of images that would have continued without a deadline.
    """

    name: str
    images: int
    share: float
    mean_confidence: float | None
    histogram: tuple[int, ...]
    cut_short: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of calls, waiting for other threads included.

    Percentiles are within 1 %, the mean and maximum are exact.
    """

    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of a session since it was loaded or its statistics were reset.

    Attributes:
        images: number of images answered.
        calls: number of calls of ``infer`` that answered them.
        exits: every exit, in order.
        latency: of the calls; None if there were none.
        wasted_stages: number of stages that were started early for images that then left.
    """

    images: int
    calls: int
    exits: tuple[ExitStatistics, ...]
    latency: Latency | None
    wasted_stages: int = 0

    @property
    def cut_short(self) -> int:
        """Number of images that would have continued without a deadline."""
        return sum(exit_.cut_short for exit_ in self.exits)


class Tally:
    """Counts answers. Not thread-safe: the caller holds the session's lock.

    A call costs three copies into preallocated buffers, which are counted when they are full.

    Attributes:
        wasted_stages: number of stages started early in vain; incremented by the caller.

    Args:
        exits: number of exits.
    """

    def __init__(self, exits: int) -> None:
        self.wasted_stages = 0
        self._exit_count = exits
        # first of images that left by themselves, then of images that were cut short
        self._cells = np.zeros((2, exits, BINS), np.int64)
        self._starts = [Start(0, self._cells.copy())]
        self._numbered = 1
        self._confidence = np.zeros(2 * exits)  # sums
        self._durations = np.zeros(_DURATIONS, np.int64)
        self._total_ns = self._longest_ns = 0
        self._calls = self._images = 0  # filled places of the buffers below
        self._call_buffer = np.empty(BUFFER_SIZE, np.int64)
        self._row_buffer = np.empty(BUFFER_SIZE, np.int64)
        self._confidence_buffer = np.empty(BUFFER_SIZE, np.float32)

    def add(self, answers: Predictions, took_ns: int) -> None:
        """Record the answers of one call and its duration."""
        rows, cut = answers.exits, answers.cut_short
        if cut is not None and np.count_nonzero(cut):  # faster than any() for few values
            rows = rows + self._exit_count * cut
        start = self._images
        end = start + len(rows)
        if end > BUFFER_SIZE or self._calls == BUFFER_SIZE:
            self._count()
            start, end = 0, len(rows)
        self._call_buffer[self._calls] = took_ns
        self._calls += 1
        if end > BUFFER_SIZE:
            self._count_answers(rows, answers.confidences)
            return
        self._row_buffer[start:end] = rows
        self._confidence_buffer[start:end] = answers.confidences
        self._images = end

    def cells(self) -> NDArray[np.int64]:
        """Return histograms, (2, exits, BINS): of images that left and of images cut short."""
        self._count()
        cells: NDArray[np.int64] = self._cells.copy()
        return cells

    def starts(self) -> list[Start]:
        """Return the starts of the bets of :func:`edgeexit_runtime.field.drift.find_drift`."""
        return list(self._starts)

    def statistics(self, names: Sequence[str]) -> Statistics:
        """Return the statistics; ``names`` are the exits' names."""
        left, cut = self.cells()
        both, images = left + cut, int(left.sum() + cut.sum())
        sums = self._confidence.reshape(2, -1).sum(axis=0)
        exits = tuple(
            ExitStatistics(
                name,
                count := int(both[index].sum()),
                count / max(images, 1),
                float(sums[index]) / count if count else None,
                tuple(both[index].tolist()),
                int(cut[index].sum()),
            )
            for index, name in enumerate(names)
        )
        calls = int(self._durations.sum())
        latency = self._latency(calls) if calls else None
        return Statistics(images, calls, exits, latency, self.wasted_stages)

    def _count(self) -> None:
        """Count what is in the buffers, and empty them."""
        calls, images = self._calls, self._images
        self._calls = self._images = 0
        took = self._call_buffer[:calls]
        bins = (np.log(np.maximum(took, 1)) / _STEP).astype(np.intp)
        self._durations += np.bincount(np.minimum(bins, _DURATIONS - 1), minlength=_DURATIONS)
        self._total_ns += int(took.sum())
        self._longest_ns = max(self._longest_ns, int(took.max(initial=0)))
        self._count_answers(self._row_buffer[:images], self._confidence_buffer[:images])

    def _count_answers(self, rows: NDArray[np.int64], confidences: NDArray[np.float32]) -> None:
        cells = count_answers(rows, confidences, len(self._confidence))
        self._cells += cells.reshape(self._cells.shape)
        self._confidence += np.bincount(rows, confidences, minlength=len(self._confidence))
        self._open_start()

    def _open_start(self) -> None:
        """Start a block of images here, and thin out old starts that are close to each other."""
        starts, now = self._starts, int(self._cells.sum())
        ages = [now - int(start.cells.sum()) for start in starts]
        if ages[-1] < BUFFER_SIZE:
            return
        kept = [0]
        for place in range(1, len(starts) - 1):
            if ages[kept[-1]] > 2 * ages[place + 1]:
                kept.append(place)
        if len(starts) > 1:
            kept.append(len(starts) - 1)
        self._starts = [
            *(starts[place] for place in kept),
            Start(self._numbered, self._cells.copy()),
        ]
        self._numbered += 1

    def _latency(self, calls: int) -> Latency:
        reached = np.cumsum(self._durations)

        def percentile(share: float) -> float:
            place = int(np.searchsorted(reached, share * calls))
            return min(math.exp((place + 0.5) * _STEP), self._longest_ns) / NS_PER_MS

        mean_ms = self._total_ns / calls / NS_PER_MS
        longest_ms = self._longest_ns / NS_PER_MS
        return Latency(mean_ms, percentile(0.5), percentile(0.9), percentile(0.99), longest_ms)
