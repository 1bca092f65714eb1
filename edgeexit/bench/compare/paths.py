"""Forced exit paths of two reports, and the plain backbone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from edgeexit_runtime.timing.turns import CALLS_PER_TURN
from numpy.typing import NDArray

from edgeexit.bench.compare.figures import (
    MIN_ROUNDS,
    SEED,
    Section,
    figure,
    of_one_alone,
    path_noise,
    plain_noise,
)
from edgeexit.bench.results.comparison import PATHS, TO_BASELINE
from edgeexit.bench.results.mixture import BASELINE_NAME
from edgeexit.bench.results.report import BenchReport
from edgeexit.bench.results.timings import PathTiming
from edgeexit.statistics.bootstrap import medians, resample_rounds


def compare_paths(first: BenchReport, second: BenchReport) -> Section:
    """Compare medians, and ratios to the plain backbone."""
    paths, others = _paths(first), _paths(second)
    names = [name for name in paths if name in others]  # the plain backbone is the first
    pairs = [(paths[name], others[name]) for name in names]
    drawn = _resampled_ratios(pairs)
    least_noise = plain_noise(first, second)
    figures = []
    for name, (ours, theirs), ratios in zip(names, pairs, drawn, strict=True):
        noise = max(least_noise, path_noise(ours), path_noise(theirs))
        p50_ms = ours.latency.p50_ms, theirs.latency.p50_ms
        figures.append(figure(PATHS, name, "ms", "median", p50_ms, ratios, noise))
        if name != BASELINE_NAME:
            over = ours.ratio, theirs.ratio
            relative = None if ratios is None or drawn[0] is None else ratios / drawn[0]
            figures.append(figure(PATHS, name, TO_BASELINE, "median", over, relative, noise))
    return Section(tuple(figures), tuple(of_one_alone("Paths", paths, others)))


def _paths(report: BenchReport) -> dict[str, PathTiming]:
    """Return the plain backbone and the paths by name, then those of other backends."""
    found = {BASELINE_NAME: report.baseline, **{path.name: path for path in report.paths}}
    for other in () if report.backends is None else report.backends.others:
        found[f"{BASELINE_NAME}, {other.name}"] = other.baseline
        found |= {f"{path.name}, {other.name}": path for path in other.paths}
    return found


def _resampled_ratios(
    pairs: Sequence[tuple[PathTiming, PathTiming]],
) -> list[NDArray[np.float64] | None]:
    """Return the ratios of each pair (R,); resamples draw the same rounds for all of a report."""
    reports = [[_rounds(path) for path in report] for report in zip(*pairs, strict=True)]
    if min(len(report[0]) for report in reports) < MIN_ROUNDS:
        return [None] * len(pairs)
    rng = np.random.default_rng(SEED)
    ours, theirs = (resample_rounds(report, medians, rng) for report in reports)
    return [other / one for one, other in zip(ours, theirs, strict=True)]


def _rounds(path: PathTiming) -> NDArray[np.float64]:
    """Return its times by rounds, (rounds, calls)."""
    times = np.array(path.times_ms)
    calls = CALLS_PER_TURN if len(times) % CALLS_PER_TURN == 0 else 1
    return times.reshape(-1, calls)
