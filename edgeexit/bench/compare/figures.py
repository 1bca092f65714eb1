"""Common figures of one section of two reports, and whether they differ beyond the noise.

A figure differs if the whole interval of its ratio lies beyond the noise. The interval covers the
scatter of times within each run (:mod:`edgeexit.statistics.bootstrap`): for paths and streams it
resamples blocks of rounds; for a mixture, images (the same in both reports if they ran the same
ones) and passes over them. The noise is the drift of the plain backbone and of the path within
either run, since both always do the same work; for means, also the time that hold-ups added. It is
at least :data:`BREAK_EVEN`, since one run does not show the variation between runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit.bench.results.comparison import ComparedFigure
from edgeexit.bench.results.report import BenchReport
from edgeexit.bench.results.timings import PathTiming
from edgeexit.statistics import BREAK_EVEN, Interval
from edgeexit.statistics.bootstrap import Statistic, medians, resample_rounds
from edgeexit.statistics.drift import drift_between_fifths

SEED = 0
MIN_ROUNDS = 3  # with fewer there is no interval


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that both reports have, and sentences about what cannot be compared."""

    figures: tuple[ComparedFigure, ...] = ()
    left_out: tuple[str, ...] = ()


def figure(
    section: str,
    name: str,
    unit: str,
    statistic: str,
    values: tuple[float, float],
    ratios: NDArray[np.float64] | None,
    noise: float,
) -> ComparedFigure:
    """Return a figure; other arguments are as in :class:`ComparedFigure`.

    Args:
        values: in the first report and in the second.
        ratios: second over first in resamples (R,); None with too few raw times.
    """
    first, second = values
    ratio = second / first
    interval = None if ratios is None else Interval.of(ratio, ratios)
    return ComparedFigure(section, name, unit, statistic, first, second, ratio, interval, noise)


def resampled_ratios(
    first: Sequence[float], second: Sequence[float], statistic: Statistic, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Return the resampled ratios (R,) of the second series to the first; None if too short."""
    if min(len(first), len(second)) < MIN_ROUNDS:
        return None
    one, other = (
        resample_rounds([np.array(series)[:, None]], statistic, rng)[0]
        for series in (first, second)
    )
    ratios: NDArray[np.float64] = other / one
    return ratios


def path_noise(path: PathTiming) -> float:
    """Return the drift of a path in one run, at least BREAK_EVEN; it always does the same work."""
    return max(BREAK_EVEN, drift_between_fifths(np.array(path.times_ms), medians))


def plain_noise(*reports: BenchReport) -> float:
    """Return the largest drift of the plain backbone in any report."""
    return max(path_noise(report.baseline) for report in reports)


def of_one_alone(what: str, first: Iterable[str], second: Iterable[str]) -> Iterator[str]:
    """Yield a sentence about the names that only one report has, if there are any."""
    lone = sorted({*first} ^ {*second})
    if lone:
        yield f"{what} in only one of the reports: {'; '.join(lone)}."
