"""How far figures may be off: percentile intervals of what they are in resamples.

What is drawn with replacement is what was drawn by chance. Images are: which of them are hard has
nothing to do with their order, so they are drawn one by one, the same ones of all candidates.
Rounds are not: a device's speed drifts with its clock, its temperature, and what else runs, so that
times measured after one another are alike, and resampling them one by one would give intervals that
are far too narrow. Of them whole stretches are drawn (circular block bootstrap: Politis and Romano,
in Exploring the Limits of Bootstrap, 1992): of :data:`BLOCKS` stretches each resample is made, so
that a drift over a tenth of the run is within the interval.

What two runs differ by, and one run does not show, no resampling of either can tell. A slower drift
gives a hint: see :mod:`edgeexit.statistics.drift`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeexit.statistics.intervals import Interval

BLOCKS = 10
RESAMPLES = 2000
KIND_RESAMPLES = 10_000
CHUNK = 4_000_000  # numbers at a time, 32 MB

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Of (R, calls) the value of each row, (R,), or several, (R, values)."""


def medians(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of each row; a :data:`Statistic`."""
    values: NDArray[np.float64] = np.median(times, axis=1)
    return values


def mean_intervals(values: NDArray[np.float64], seed: int = 0) -> tuple[Interval, ...]:
    """Return the means of K figures over the same N samples.

    Resampling N samples again and again would take N draws each time. Here few samples differ: what
    counts is how many there are of each kind, and the numbers of each kind in a resample are one
    multinomial draw (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, Sections 6.2 and
    13.3).

    Args:
        values: (K, N), with few different columns.
    """
    samples = values.shape[1]
    kinds, counts = np.unique(values, axis=1, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(samples, counts / samples, KIND_RESAMPLES)
    means, resampled = values.mean(axis=1), kinds @ drawn.T / samples
    return tuple(Interval.of(float(mean), row) for mean, row in zip(means, resampled, strict=True))


def ratios_of_means(
    series: Sequence[NDArray[np.float64]], over: NDArray[np.float64]
) -> list[Interval]:
    """Return the ratios of means to that of ``over``, on the same images in the same passes.

    Args:
        series: (passes, N) each.
        over: (passes, N).
    """
    ((*drawn, drawn_over),) = resample_images([[*series, over]], together=True)
    return [
        Interval.of(float(values.mean() / over.mean()), means / drawn_over)
        for values, means in zip(series, drawn, strict=True)
    ]


def resample_images(
    reports: Sequence[Sequence[NDArray[np.float64]]], together: bool
) -> list[list[NDArray[np.float64]]]:
    """Return means over images in resamples of images and of passes over them.

    Args:
        reports: of each report its candidates' times, (passes, N) each.
        together: whether image n is the same in all reports; the same ones are drawn of them then,
            so that what they differ by does not count.

    Returns:
        For each report and candidate (RESAMPLES,).
    """
    rng = np.random.default_rng(0)
    images = reports[0][0].shape[1]
    shares = _shares(images, rng)
    found = []
    for report in reports:
        if not together:
            shares = _shares(images, rng)
        passes = _shares(len(report[0]), rng)
        found.append([np.sum((passes @ times) * shares, axis=1) for times in report])
    return found


def resample_rounds(
    series: Sequence[NDArray[np.float64]],
    statistic: Statistic,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[NDArray[np.float64]]:
    """Return what a statistic is in resamples of series that were measured side by side.

    Args:
        series: (rounds, calls) each, in the order of time; the same rounds are drawn of all.
        resamples: how many, R.

    Returns:
        For each series what the statistic gives, (R,) or (R, values).
    """
    found: list[list[NDArray[np.float64]]] = [[] for _ in series]
    for count in _chunks(max(one.size for one in series), resamples):
        indices = draw_rounds(len(series[0]), count, rng)
        for values, one in zip(found, series, strict=True):
            values.append(statistic(one[indices].reshape(count, -1)))
    return [np.concatenate(values) for values in found]


def resampled_medians(series: Sequence[Sequence[float]], calls: int) -> list[NDArray[np.float64]]:
    """Return the medians, (R,) each, in resamples of times that were measured side by side.

    Args:
        series: times in the order in which they were taken, ``calls`` in each round.
    """
    rounds = [np.reshape(times, (-1, calls)) for times in series]
    return resample_rounds(rounds, medians, np.random.default_rng(0))


def draw_rounds(rounds: int, resamples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the rounds of each resample, (resamples, rounds), in circular blocks."""
    length = -(-rounds // BLOCKS)
    starts = rng.integers(0, rounds, (resamples, -(-rounds // length)))
    indices = (starts[:, :, None] + np.arange(length)) % rounds
    return indices.reshape(resamples, -1)[:, :rounds]


def _shares(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the share that each of ``count`` has in each resample, (RESAMPLES, count)."""
    return rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count


def _chunks(numbers: int, resamples: int) -> Iterator[int]:
    """Yield how many resamples to draw at once, in all ``resamples``."""
    most = max(1, CHUNK // numbers)
    for start in range(0, resamples, most):
        yield min(most, resamples - start)
