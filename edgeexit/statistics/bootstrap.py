"""Percentile intervals of figures, by the bootstrap.

Resampling with replacement requires independent samples. Images are independent: how hard an image
is does not depend on its position, so single images are drawn, the same ones for all candidates.
Rounds are not: a device's speed drifts with its clock, its temperature and other load. Consecutive
times are correlated, and resampling single rounds would make intervals far too narrow. Therefore
blocks of rounds are drawn (circular block bootstrap: Politis and Romano, in Exploring the Limits of
Bootstrap, 1992). Each resample consists of :data:`BLOCKS` blocks, so that the interval includes
drift over a tenth of the run.

Differences between runs that do not show within a run cannot be found by resampling. Slower drift
gives a hint of them; see :mod:`edgeexit.statistics.drift`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeexit.statistics.intervals import Interval

BLOCKS = 10
RESAMPLES = 2000
KIND_RESAMPLES = 10_000
CHUNK = 4_000_000  # values at a time, 32 MB

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Maps (R, calls) to one value per row, (R,), or several, (R, values)."""


def medians(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of each row; a :data:`Statistic`."""
    values: NDArray[np.float64] = np.median(times, axis=1)
    return values


def mean_intervals(values: NDArray[np.float64]) -> tuple[Interval, ...]:
    """Return the means of K figures over the same N samples.

    Few columns of ``values`` differ, and only the number of samples with each distinct column
    matters. These numbers are one multinomial draw per resample, in place of N single draws (Efron
    and Tibshirani, An Introduction to the Bootstrap, 1993, Sections 6.2 and 13.3).

    Args:
        values: (K, N), with few distinct columns.
    """
    samples = values.shape[1]
    kinds, counts = np.unique(values, axis=1, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(samples, counts / samples, KIND_RESAMPLES)
    means, resampled = values.mean(axis=1), kinds @ drawn.T / samples
    return tuple(Interval.of(float(mean), row) for mean, row in zip(means, resampled, strict=True))


def ratios_of_means(
    series: Sequence[NDArray[np.float64]], over: NDArray[np.float64]
) -> list[Interval]:
    """Return the ratios of means to the mean of ``over``, for the same images and passes.

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
        reports: for each report, the times of its candidates, (passes, N) each.
        together: whether image n is the same in all reports; then the same images are drawn for
            all of them, and differences between images cancel.

    Returns:
        For each report and candidate, (RESAMPLES,).
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
    """Return a statistic in resamples of series that were measured in interleaved rounds.

    Args:
        series: (rounds, calls) each, in order of time; the same rounds are drawn for all.
        resamples: number of resamples, R.

    Returns:
        For each series the values of the statistic, (R,) or (R, values).
    """
    found: list[list[NDArray[np.float64]]] = [[] for _ in series]
    for count in _chunks(max(one.size for one in series), resamples):
        indices = draw_rounds(len(series[0]), count, rng)
        for values, one in zip(found, series, strict=True):
            values.append(statistic(one[indices].reshape(count, -1)))
    return [np.concatenate(values) for values in found]


def resampled_medians(series: Sequence[Sequence[float]], calls: int) -> list[NDArray[np.float64]]:
    """Return the medians, (R,) each, in resamples of times from interleaved rounds.

    Args:
        series: times in the order in which they were measured, ``calls`` per round.
    """
    rounds = [np.reshape(times, (-1, calls)) for times in series]
    return resample_rounds(rounds, medians, np.random.default_rng(0))


def draw_rounds(rounds: int, resamples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of each resample's rounds, (resamples, rounds), in circular blocks."""
    length = -(-rounds // BLOCKS)
    starts = rng.integers(0, rounds, (resamples, -(-rounds // length)))
    indices = (starts[:, :, None] + np.arange(length)) % rounds
    return indices.reshape(resamples, -1)[:, :rounds]


def _shares(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the share of each of ``count`` items in each resample, (RESAMPLES, count)."""
    return rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count


def _chunks(numbers: int, resamples: int) -> Iterator[int]:
    """Yield the numbers of resamples to draw at once; they sum to ``resamples``."""
    most = max(1, CHUNK // numbers)
    for start in range(0, resamples, most):
        yield min(most, resamples - start)
