"""Percentiles of timed queries, with how far they may be off, or none where there are too few.

The p-th percentile of a population lies below the u-th smallest of n independent samples exactly
where fewer than u of them lie below it, and their number is binomial (n, p) whatever the
distribution: so two order statistics enclose it with a probability that is known (Conover,
Practical Nonparametric Statistics, 3rd ed., 1999, Section 3.2; the same reasoning is behind
MLPerf's early stopping criterion,
https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc).

How many samples a percentile needs follows from the same:

- a point, from ``1 / (1 - p)`` on: fewer leave less than one sample to be expected above it, 10 for
  p90, 100 for p99;
- an upper end of the interval, where the chance that all n samples lie below the percentile, p**n,
  is within what the interval may miss on that side: 368 for p99 at 95 %, both sides 2.5 % (459
  would be needed for 1 % there).

The same images again are no new evidence about images: never more samples are counted than there
were different images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit.statistics.intervals import CONFIDENCE_LEVEL


@dataclass(frozen=True, slots=True)
class Percentile:
    """One percentile of a number of timed queries.

    Attributes:
        percent: which one, such as 99.
        queries: how many were timed.
        count: how many of them count as independent, see :func:`percentile`.
        value_ms: of the queries; None where ``count`` is too small, see :func:`count_for_point`.
        low_ms, high_ms: ends of the interval with :data:`CONFIDENCE_LEVEL`; None where no sample
            is low or high enough to be one.
    """

    percent: float
    queries: int
    count: int
    value_ms: float | None
    low_ms: float | None
    high_ms: float | None


def count_for_point(percent: float) -> int:
    """Return how many samples a percentile needs: so many that one is expected above and below."""
    rarer = min(percent, 100 - percent)
    return math.ceil(round(100 / rarer, 9))


def count_for_interval(percent: float, confidence: float = CONFIDENCE_LEVEL) -> int:
    """Return how many samples an interval with both ends needs."""
    commoner = max(percent, 100 - percent) / 100
    return math.ceil(math.log((1 - confidence) / 2) / math.log(commoner))


def interval_ranks(
    count: int, percent: float, confidence: float = CONFIDENCE_LEVEL
) -> tuple[int | None, int | None]:
    """Return the 1-based ranks of the order statistics that enclose a percentile.

    Each misses it with at most half of ``1 - confidence``; None where no rank is far enough out.
    """
    outside = (1 - confidence) / 2
    below = np.cumsum(_binomial(count, percent / 100))  # P(at most k of them lie below), k = 0..n
    # the percentile is below the low end where fewer than low samples lie below it
    low = int(np.searchsorted(below, outside, side="right"))
    # and above the high end where at least high samples do
    high = int(np.searchsorted(below, 1 - outside)) + 1
    return (low if low >= 1 else None), (high if high <= count else None)


def percentile(
    times_ms: NDArray[np.float64], percent: float, independent: int | None = None
) -> Percentile:
    """Return one percentile of timed queries, interpolated linearly between them.

    Args:
        times_ms: milliseconds of each query, of any shape, at least one.
        percent: above 0 and below 100.
        independent: how many of the queries count, such as the number of different images where
            each was timed several times; None for all of them. An interval is then as wide as if
            every repetition had taken equally long.
    """
    ordered = np.sort(times_ms, axis=None)
    queries = len(ordered)
    count = queries if independent is None else min(queries, independent)
    if count < count_for_point(percent):
        return Percentile(percent, queries, count, None, None, None)
    low, high = interval_ranks(count, percent)
    each = queries / count  # repetitions of one rank
    return Percentile(
        percent,
        queries,
        count,
        float(np.percentile(ordered, percent)),
        None if low is None else float(ordered[math.floor((low - 1) * each)]),
        None if high is None else float(ordered[math.ceil(high * each) - 1]),
    )


def percentiles(
    times_ms: NDArray[np.float64],
    percents: Sequence[float] = (50, 90, 99),
    independent: int | None = None,
) -> tuple[Percentile, ...]:
    """Return several: see :func:`percentile`."""
    return tuple(percentile(times_ms, percent, independent) for percent in percents)


def p10(calls_ms: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the time of a quick call among these, of any shape: the 10th percentile.

    A device that does other things too holds some calls up, long ones more often than short ones.
    In medians that would look as if long graphs were badly utilized, and the peak, which is
    measured with short ones, would be out of reach. Quick calls are what the device does when it is
    left alone.
    """
    return float(np.quantile(calls_ms, 0.1))


def _binomial(count: int, probability: float) -> NDArray[np.float64]:
    """Return the chances of 0 to ``count`` successes (count + 1,)."""
    successes = np.arange(count + 1)
    log_factorials = np.array([math.lgamma(n + 1) for n in range(count + 1)])
    logs = (
        log_factorials[count]
        - log_factorials
        - log_factorials[::-1]
        + successes * math.log(probability)
        + (count - successes) * math.log1p(-probability)
    )
    chances: NDArray[np.float64] = np.exp(logs)
    return chances
