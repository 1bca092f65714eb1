"""How far the ratio of two series of times may be off, when neighbours in time are alike.

A device's speed wanders: its clock, its temperature, what else runs. Times that were measured after
one another are alike, and resampling them one by one would give intervals that are far too narrow.
So whole stretches are resampled (circular block bootstrap: Politis and Romano, in Exploring the
Limits of Bootstrap, 1992): of :data:`BLOCKS` stretches each resample is made, so that a drift over
a tenth of the run is within the interval.

What two runs differ by, and one run does not show, no resampling of either can tell. A slower drift
gives a hint: see :func:`wander`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeexit.statistics import Interval

__all__ = [
    "BLOCKS",
    "BREAK_EVEN",
    "CONFIDENCE_LEVEL",
    "Statistic",
    "block_indices",
    "interval",
    "mean_interval",
    "ratios_of_means",
    "resample",
    "resample_images",
    "wander",
]

BREAK_EVEN = 0.02  # a time that differs by less is within what two runs differ by
BLOCKS = 10
CONFIDENCE_LEVEL = 0.95
RESAMPLES = 2000
SEGMENTS = 5
CHUNK = 4_000_000  # numbers at a time, 32 MB

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Of (R, calls) the value of each row, (R,)."""


def block_indices(units: int, rng: np.random.Generator, resamples: int) -> NDArray[np.int64]:
    """Return the units of each resample, (resamples, units), in circular blocks."""
    length = -(-units // BLOCKS)
    starts = rng.integers(0, units, (resamples, -(-units // length)))
    indices = (starts[:, :, None] + np.arange(length)) % units
    return indices.reshape(resamples, -1)[:, :units]


def resample(
    series: tuple[NDArray[np.float64], ...], statistic: Statistic, rng: np.random.Generator
) -> tuple[NDArray[np.float64], ...]:
    """Return what a statistic is in resamples of series that were measured side by side.

    Args:
        series: (units, calls) each, in the order of time; unit u of each was measured in the same
            round, so that the same units are drawn of all.
        statistic: of a resample's calls.
        rng: of the draws.

    Returns:
        For each series (RESAMPLES,).
    """
    units = len(series[0])
    found: list[list[NDArray[np.float64]]] = [[] for _ in series]
    for count in _chunks(max(one.size for one in series)):
        indices = block_indices(units, rng, count)
        for values, one in zip(found, series, strict=True):
            values.append(statistic(one[indices].reshape(count, -1)))
    return tuple(np.concatenate(values) for values in found)


def resample_images(
    reports: Sequence[Sequence[NDArray[np.float64]]], rng: np.random.Generator, together: bool
) -> list[list[NDArray[np.float64]]]:
    """Return means over images in resamples of images and of passes over them.

    Images are drawn one by one: which of them are hard has nothing to do with their order.

    Args:
        reports: of each report its candidates' times, (passes, N) each.
        rng: of the draws.
        together: whether image n is the same in all reports; the same ones are drawn of them then,
            so that what they differ by does not count.

    Returns:
        For each report and candidate (RESAMPLES,).
    """
    images = reports[0][0].shape[1]
    evenly = np.full(images, 1 / images)
    shares = rng.multinomial(images, evenly, RESAMPLES) / images
    found = []
    for report in reports:
        if not together:
            shares = rng.multinomial(images, evenly, RESAMPLES) / images
        passes = len(report[0])
        drawn = rng.multinomial(passes, np.full(passes, 1 / passes), RESAMPLES) / passes
        found.append([np.sum((drawn @ times) * shares, axis=1) for times in report])
    return found


def ratios_of_means(
    series: Sequence[NDArray[np.float64]], over: NDArray[np.float64]
) -> list[Interval]:
    """Return the ratios of means to that of ``over``, on the same images in the same passes.

    Args:
        series: (passes, N) each.
        over: (passes, N).
    """
    ((*drawn, drawn_over),) = resample_images(
        [[*series, over]], np.random.default_rng(0), together=True
    )
    return [
        Interval.of(float(values.mean() / over.mean()), means / drawn_over)
        for values, means in zip(series, drawn, strict=True)
    ]


def mean_interval(values: NDArray[np.float64]) -> Interval:
    """Return the mean over images, of one value (N,) each."""
    ((drawn,),) = resample_images([[values[None]]], np.random.default_rng(0), together=True)
    return Interval.of(float(values.mean()), drawn)


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the percentile interval of resampled values with :data:`CONFIDENCE_LEVEL`."""
    outside = (1 - CONFIDENCE_LEVEL) / 2
    low, high = np.quantile(values, (outside, 1 - outside)).tolist()
    return low, high


def wander(times: NDArray[np.float64], statistic: Statistic) -> float:
    """Return by how much the slowest fifth of a run is above its fastest fifth, 0.1 for 10 %.

    Args:
        times: (calls,) of something that always does the same, in the order of time.
        statistic: as the one that is compared.
    """
    if len(times) < SEGMENTS:
        return 0.0
    values = [float(statistic(part[None])[0]) for part in np.array_split(times, SEGMENTS)]
    return max(values) / min(values) - 1


def _chunks(numbers: int) -> Iterator[int]:
    """Yield how many resamples to draw at once, in all :data:`RESAMPLES`."""
    most = max(1, CHUNK // numbers)
    for start in range(0, RESAMPLES, most):
        yield min(most, RESAMPLES - start)
