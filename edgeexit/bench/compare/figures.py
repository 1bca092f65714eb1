"""Figures that two reports share, section by section, and whether they differ beyond the noise.

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
from edgeexit_runtime.timing.turns import CALLS_PER_TURN
from numpy.typing import NDArray

from edgeexit.bench.results.comparison import MIXTURE, PATHS, TO_BASELINE, ComparedFigure
from edgeexit.bench.results.energy import Energy, EnergyRun
from edgeexit.bench.results.mixture import BASELINE, BASELINE_NAME, Mixture
from edgeexit.bench.results.report import BenchReport
from edgeexit.bench.results.timings import PathTiming
from edgeexit.statistics import BREAK_EVEN, Interval
from edgeexit.statistics.bootstrap import Statistic, medians, resample_images, resample_rounds
from edgeexit.statistics.drift import drift_between_fifths

SEED = 0
MIN_ROUNDS = 3  # with fewer there is no interval
MJ_PER_J = 1e3


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
    first: Sequence[NDArray[np.float64]],
    second: Sequence[NDArray[np.float64]],
    statistic: Statistic,
    rng: np.random.Generator,
) -> list[NDArray[np.float64] | None]:
    """Return the resampled ratios (R,) of the second report's series to the first's.

    Args:
        first, second: series (rounds, calls) of each report; the same rounds are drawn for all of
            one report. With too few rounds the ratios are None.
    """
    if min(map(len, (*first, *second))) < MIN_ROUNDS:
        return [None] * len(first)
    ours, theirs = (resample_rounds(series, statistic, rng) for series in (first, second))
    return [other / one for one, other in zip(ours, theirs, strict=True)]


def by_rounds(times: Sequence[float], calls: int = 1) -> NDArray[np.float64]:
    """Return times as (rounds, calls); a single call each if they do not fill their rounds."""
    return np.reshape(times, (-1, calls if len(times) % calls == 0 else 1))


def compare_paths(first: BenchReport, second: BenchReport) -> Section:
    """Compare medians of the plain backbone and of forced exit paths, and their ratios."""
    paths, others = _paths(first), _paths(second)
    names = [name for name in paths if name in others]  # the plain backbone is the first
    one, other = (
        [by_rounds(report[name].times_ms, CALLS_PER_TURN) for name in names]
        for report in (paths, others)
    )
    drawn = resampled_ratios(one, other, medians, np.random.default_rng(SEED))
    least_noise = plain_noise(first, second)
    figures = []
    for name, ratios in zip(names, drawn, strict=True):
        ours, theirs = paths[name], others[name]
        noise = max(least_noise, _path_noise(ours), _path_noise(theirs))
        p50_ms = ours.latency.p50_ms, theirs.latency.p50_ms
        figures.append(figure(PATHS, name, "ms", "median", p50_ms, ratios, noise))
        if name != BASELINE_NAME:
            over = ours.ratio, theirs.ratio
            relative = None if ratios is None or drawn[0] is None else ratios / drawn[0]
            figures.append(figure(PATHS, name, TO_BASELINE, "median", over, relative, noise))
    return Section(tuple(figures), tuple(_of_one_alone("Paths", paths, others)))


def compare_mixtures(first: BenchReport, second: BenchReport) -> Section:
    """Compare means of images one by one, and ratios, if the images are the same."""
    one, other = first.mixture, second.mixture
    if one is None or other is None:
        lone = "Real images were run one by one in only one of the reports."
        return Section(left_out=() if one is other else (lone,))
    if (one.source, one.samples) != (other.source, other.samples):
        different = (
            f"Different images were run one by one ({one.samples} of {one.source}, "
            f"{other.samples} of {other.source}): the shares that leave at each exit are not "
            "comparable."
        )
        return Section(left_out=(different,))
    runs, others = ({run.label: run for run in mixture.runs} for mixture in (one, other))
    names = [name for name in runs if name in others]  # the plain backbone is the first
    drawn, drawn_others = resample_images(
        [[np.array(of_one[name].times_ms) for name in names] for of_one in (runs, others)],
        together=first.options.seed == second.options.seed,
    )
    calls = one.samples * min(len(mixture.baseline.times_ms) for mixture in (one, other))
    ratios = [
        theirs / ours if calls >= MIN_ROUNDS else None
        for ours, theirs in zip(drawn, drawn_others, strict=True)
    ]
    noise = max(mixture_noise(first, one), mixture_noise(second, other))
    figures = []
    for name, ratio in zip(names, ratios, strict=True):
        ours, theirs = runs[name], others[name]
        means_ms = ours.latency.mean_ms, theirs.latency.mean_ms
        figures.append(figure(MIXTURE, name, "ms", "mean", means_ms, ratio, noise))
        if ours.role != BASELINE:
            over = ours.ratio.value, theirs.ratio.value
            relative = None if ratio is None or ratios[0] is None else ratio / ratios[0]
            figures.append(figure(MIXTURE, name, TO_BASELINE, "mean", over, relative, noise))
    return Section(tuple(figures), tuple(_of_one_alone("Candidates", runs, others)))


def compare_energy(first: BenchReport, second: BenchReport) -> Section:
    """Compare median millijoules per image of turns, if sensors and images are the same."""
    one, other = first.energy, second.energy
    if not one.runs and not other.runs:
        return Section()
    left_out = _not_comparable(first, second)
    if left_out is not None:
        return Section(left_out=(left_out,))
    rng = np.random.default_rng(SEED)
    noise = max(_idle_noise(one), _idle_noise(other))
    others = {run.name: run for run in other.runs}
    figures = []
    for ours in (run for run in one.runs if run.name in others):
        theirs = others[ours.name]
        (ratios,) = resampled_ratios([_turns_mj(ours)], [_turns_mj(theirs)], medians, rng)
        values = MJ_PER_J * ours.sample_j, MJ_PER_J * theirs.sample_j
        figures.append(figure("energy", ours.name, "mJ", "median", values, ratios, noise))
    return Section(tuple(figures))


def _not_comparable(first: BenchReport, second: BenchReport) -> str | None:
    one, other = first.energy, second.energy
    if not one.runs or not other.runs:
        return "Energy was measured in only one of the reports."
    counts = [it.mixture and it.mixture.samples for it in (first, second)]
    if one.source != other.source or counts[0] != counts[1]:
        return "Energy was measured on different images."
    kinds, others = ([sensor.kind for sensor in energy.sensors] for energy in (one, other))
    if kinds != others:
        return (
            "Energy was read by different sensors, which measure different parts of a device: "
            f"{', '.join(kinds)} and {', '.join(others)}."
        )
    return None


def _turns_mj(run: EnergyRun) -> NDArray[np.float64]:
    return by_rounds([MJ_PER_J * turn.joules / turn.samples for turn in run.turns])


def _paths(report: BenchReport) -> dict[str, PathTiming]:
    """Return the plain backbone and the paths by name, then those of other backends."""
    found = {BASELINE_NAME: report.baseline, **{path.name: path for path in report.paths}}
    for other in () if report.backends is None else report.backends.others:
        found[f"{BASELINE_NAME}, {other.name}"] = other.baseline
        found |= {f"{path.name}, {other.name}": path for path in other.paths}
    return found


def _of_one_alone(what: str, first: Iterable[str], second: Iterable[str]) -> Iterator[str]:
    """Yield a sentence about the names that only one report has, if there are any."""
    lone = sorted({*first} ^ {*second})
    if lone:
        yield f"{what} in only one of the reports: {'; '.join(lone)}."


def plain_noise(*reports: BenchReport) -> float:
    """Return the largest drift of the plain backbone in any report."""
    return max(_path_noise(report.baseline) for report in reports)


def _path_noise(path: PathTiming) -> float:
    """Return the drift of a path in one run, at least BREAK_EVEN; it always does the same work."""
    return max(BREAK_EVEN, drift_between_fifths(np.array(path.times_ms), medians))


def mixture_noise(report: BenchReport, mixture: Mixture) -> float:
    """Return the baseline's largest drift between thirds or passes, or its slow-down by hold-ups.

    It always does the same work, so its mean exceeds its median only because of other load.
    """
    thirds = [drift.ratio - 1 for drift in report.drifts if drift.measurement == "mixture"]
    times_ms = np.array(mixture.baseline.times_ms)
    passes = times_ms.mean(axis=1)
    held_up = float(times_ms.mean() / np.median(times_ms)) - 1
    return max(BREAK_EVEN, *thirds, float(passes.max() / passes.min()) - 1, held_up)


def _idle_noise(energy: Energy) -> float:
    """Return the drift of the idle device's power."""
    idle = np.array([turn.joules / turn.seconds for turn in energy.idle_turns])
    return max(BREAK_EVEN, drift_between_fifths(idle, medians) if idle.min() > 0 else 0.0)
