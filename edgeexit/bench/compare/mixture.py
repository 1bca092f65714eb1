"""Images one by one in two reports: means of every candidate."""

from __future__ import annotations

import numpy as np

from edgeexit.bench.compare.figures import Section, figure, of_one_alone
from edgeexit.bench.results.comparison import MIXTURE, TO_BASELINE
from edgeexit.bench.results.mixture import BASELINE, Mixture
from edgeexit.bench.results.report import BenchReport
from edgeexit.statistics import BREAK_EVEN
from edgeexit.statistics.bootstrap import resample_images


def compare_mixtures(first: BenchReport, second: BenchReport) -> Section:
    """Compare means, and ratios to the plain backbone, if the images are the same."""
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
    ratios = [theirs / ours for ours, theirs in zip(drawn, drawn_others, strict=True)]
    noise = max(_noise(first, one), _noise(second, other))
    figures = []
    for name, ratio in zip(names, ratios, strict=True):
        ours, theirs = runs[name], others[name]
        means_ms = ours.latency.mean_ms, theirs.latency.mean_ms
        figures.append(figure(MIXTURE, name, "ms", "mean", means_ms, ratio, noise))
        if ours.role != BASELINE:
            over, relative = (ours.ratio.value, theirs.ratio.value), ratio / ratios[0]
            figures.append(figure(MIXTURE, name, TO_BASELINE, "mean", over, relative, noise))
    return Section(tuple(figures), tuple(of_one_alone("Candidates", runs, others)))


def _noise(report: BenchReport, mixture: Mixture) -> float:
    """Return the baseline's largest drift between thirds or passes, or its slow-down by hold-ups.

    It always does the same work, so its mean exceeds its median only because of other load.
    """
    thirds = [drift.ratio - 1 for drift in report.drifts if drift.measurement == "mixture"]
    times_ms = np.array(mixture.baseline.times_ms)
    passes = times_ms.mean(axis=1)
    held_up = float(times_ms.mean() / np.median(times_ms)) - 1
    return max(BREAK_EVEN, *thirds, float(passes.max() / passes.min()) - 1, held_up)
