"""What one section of two reports has in common, and whether it differs by more than the noise.

A figure differs where the whole interval of its ratio lies beyond the noise. The interval says how
far each run's own times scatter (:mod:`edgeexit.statistics.bootstrap`); of paths and streams
stretches of rounds are drawn, of a mixture images, the same for both reports where they ran the
same ones, and passes over them. The noise is what the plain backbone and the path, which always do
the same, drifted by within either run, of means also what hold-ups added to them, and
:data:`BREAK_EVEN` at least: a run does not show what the next one may differ by.
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
MIN_ROUNDS = 3  # of fewer no interval is made


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that both reports have, and sentences on what cannot be compared."""

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
    """Return a figure as :class:`ComparedFigure` describes it.

    Args:
        values: in the first report and in the second.
        ratios: of these in resamples (R,); None where there are too few raw times.
    """
    first, second = values
    ratio = second / first
    interval = None if ratios is None else Interval.of(ratio, ratios)
    return ComparedFigure(section, name, unit, statistic, first, second, ratio, interval, noise)


def resampled_ratios(
    first: Sequence[float], second: Sequence[float], statistic: Statistic, rng: np.random.Generator
) -> NDArray[np.float64] | None:
    """Return the second over the first of two series (R,); None where they are too short."""
    if min(len(first), len(second)) < MIN_ROUNDS:
        return None
    one, other = (
        resample_rounds([np.array(series)[:, None]], statistic, rng)[0]
        for series in (first, second)
    )
    ratios: NDArray[np.float64] = other / one
    return ratios


def path_noise(path: PathTiming) -> float:
    """Return what a path, which always does the same, drifted by in one run."""
    return max(BREAK_EVEN, drift_between_fifths(np.array(path.times_ms), medians))


def plain_noise(*reports: BenchReport) -> float:
    """Return the most that the plain backbone drifted by."""
    return max(path_noise(report.baseline) for report in reports)


def of_one_alone(what: str, first: Iterable[str], second: Iterable[str]) -> Iterator[str]:
    """Yield a sentence on the names that one report alone has, where there are any."""
    lone = sorted({*first} ^ {*second})
    if lone:
        yield f"{what} of one report alone: {'; '.join(lone)}."
