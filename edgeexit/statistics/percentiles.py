"""Percentiles of timed queries with intervals, or None if there are too few samples.

The p-th percentile of a population is below the u-th smallest of n independent samples exactly if
fewer than u of them are below it. That number is binomial (n, p) for any distribution, so two order
statistics enclose the percentile with a known probability (Conover, Practical Nonparametric
Statistics, 3rd ed., 1999, Section 3.2; MLPerf's early stopping criterion uses the same reasoning,
https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc).

The number of samples that a percentile needs follows from this:

- A point estimate needs ``1 / (1 - p)``, 10 for p90 and 100 for p99: with fewer, less than one
  sample is expected above it.
- The upper end of the interval needs so many that the probability that all n samples are below the
  percentile, p**n, is at most the error allowed on that side: 368 for p99 at 95 %, with 2.5 % on
  each side (459 would be needed for 1 % there).

Repetitions of an image are not independent samples of images: at most as many samples are counted
as there are different images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit.statistics.intervals import CONFIDENCE_LEVEL

PERCENTS = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Percentile:
    """One percentile of a number of timed queries.

    Attributes:
        percent: the percentage, such as 99.
        queries: number of timed queries.
        count: number of queries that count as independent, see :func:`percentile`.
        value_ms: the percentile; None if ``count`` is too small, see :func:`count_for_point`.
        low_ms, high_ms: ends of the interval at :data:`CONFIDENCE_LEVEL`; None if no sample is low
            or high enough.
    """

    percent: float
    queries: int
    count: int
    value_ms: float | None
    low_ms: float | None
    high_ms: float | None


def count_for_point(percent: float) -> int:
    """Return the number of samples for which at least one is expected above and below."""
    rarer = min(percent, 100 - percent)
    return math.ceil(round(100 / rarer, 9))


def count_for_interval(percent: float) -> int:
    """Return the number of samples that an interval with both ends needs."""
    commoner = max(percent, 100 - percent) / 100
    return math.ceil(math.log((1 - CONFIDENCE_LEVEL) / 2) / math.log(commoner))


def interval_ranks(count: int, percent: float) -> tuple[int | None, int | None]:
    """Return the 1-based ranks of the order statistics that enclose a percentile.

    Each end misses it with a probability of at most half of what :data:`CONFIDENCE_LEVEL` leaves;
    None if no rank is far enough out.
    """
    outside = (1 - CONFIDENCE_LEVEL) / 2
    below = np.cumsum(_binomial(count, percent / 100))  # P(at most k samples are below), k = 0..n
    # the percentile is below the low end if fewer than low samples are below it
    low = int(np.searchsorted(below, outside, side="right"))
    # and above the high end if at least high samples are
    high = int(np.searchsorted(below, 1 - outside)) + 1
    return (low if low >= 1 else None), (high if high <= count else None)


def percentile(
    times_ms: NDArray[np.float64], percent: float, independent: int | None = None
) -> Percentile:
    """Return one percentile of timed queries, interpolated linearly between them.

    Args:
        times_ms: milliseconds of each query, any shape, at least one.
        percent: above 0 and below 100.
        independent: number of independent queries, such as the number of different images if each
            was timed several times; None for all. The interval is then as wide as if all
            repetitions had taken the same time.
    """
    ordered = np.sort(times_ms, axis=None)
    queries = len(ordered)
    count = min(queries, independent or queries)
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
    times_ms: NDArray[np.float64], independent: int | None = None
) -> tuple[Percentile, ...]:
    """Return :data:`PERCENTS`; see :func:`percentile`."""
    return tuple(percentile(times_ms, percent, independent) for percent in PERCENTS)


def p10(calls_ms: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the 10th percentile of calls of any shape, the time of an undisturbed call.

    Other load on a device delays some calls, long ones more often than short ones. With medians,
    long graphs would seem to have a low utilization, and the peak, which is measured with short
    calls, would be out of reach. Fast calls show the undisturbed speed of the device.
    """
    return float(np.quantile(calls_ms, 0.1))


def _binomial(count: int, probability: float) -> NDArray[np.float64]:
    """Return the probabilities of 0 to ``count`` successes (count + 1,)."""
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
