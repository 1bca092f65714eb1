"""Passes over real images -> mixture: the results of every candidate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from edgeexit_runtime import Manifest
from edgeexit_runtime.gate import average_macs
from edgeexit_runtime.timing.calls import summarize
from numpy.typing import NDArray

from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.mixture import (
    BACKEND,
    EARLY_EXIT,
    VERSUS,
    IsoAccuracy,
    Mixture,
    MixtureExit,
    Run,
)
from edgeexit.bench.timing.passes import Runs
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import ratios_of_means
from edgeexit.statistics.percentiles import percentiles


def mixture_of(
    runs: Sequence[Runs], images: BenchImages, iso_accuracy: IsoAccuracy | str
) -> Mixture:
    """Return the results of passes over images.

    Args:
        runs: of queries of one image; the baseline's first, then early exit's.
        images: that were run.
        iso_accuracy: early exit and another model at the same accuracy, or the reason why there
            is no such comparison.
    """
    baseline, early_exit, *_ = runs
    (plain,) = baseline.candidate.session.manifest.exits
    manifest, labels = early_exit.candidate.session.manifest, images.labels
    exits = _mixture_exits(manifest, early_exit, labels)
    shares = {exit_.name: exit_.share for exit_ in exits}
    return Mixture(
        source=images.source,
        samples=len(images.images),
        exits=exits,
        left_at=tuple(early_exit.left_at.tolist()),
        macs_ratio=average_macs(shares, manifest.paid_macs) / plain.path_macs,
        runs=_results(runs, labels),
        over_versus=_over_versus(runs),
        iso_accuracy=None if isinstance(iso_accuracy, str) else iso_accuracy,
        no_iso_accuracy=iso_accuracy if isinstance(iso_accuracy, str) else None,
    )


def _results(all_runs: Sequence[Runs], labels: NDArray[np.int64] | None) -> tuple[Run, ...]:
    series = [runs.by_image() for runs in all_runs]
    early_exit = all_runs[1]
    found = []
    for runs, times_ms, ratio in zip(
        all_runs, series, ratios_of_means(series, series[0]), strict=True
    ):
        over_early_exit = same_answers = None
        if runs.candidate.role == BACKEND:
            (over_early_exit,) = ratios_of_means([times_ms], series[1])
            same = (runs.labels == early_exit.labels) & (runs.left_at == early_exit.left_at)
            same_answers = float(same.mean())
        run = Run(
            role=runs.candidate.role,
            name=runs.candidate.name,
            thresholds=dict(runs.candidate.thresholds),
            accuracy=_accuracy(runs.labels, labels),
            latency=summarize(times_ms),
            percentiles=percentiles(times_ms, independent=times_ms.shape[1]),
            ratio=ratio,
            times_ms=tuple(map(tuple, times_ms.tolist())),
            over_early_exit=over_early_exit,
            same_answers=same_answers,
        )
        found.append(run)
    return tuple(found)


def _over_versus(all_runs: Sequence[Runs]) -> Interval | None:
    """Return early exit's mean over the other model's; None without another model."""
    times_ms = {runs.candidate.role: runs.by_image() for runs in all_runs}
    if VERSUS not in times_ms:
        return None
    (ratio,) = ratios_of_means([times_ms[EARLY_EXIT]], times_ms[VERSUS])
    return ratio


def _mixture_exits(
    manifest: Manifest, runs: Runs, labels: NDArray[np.int64] | None
) -> tuple[MixtureExit, ...]:
    times_ms, exits = runs.by_image(), []
    for index, name in enumerate(manifest.exit_names):
        here = runs.left_at == index
        some = bool(here.any())
        known = None if labels is None or not some else labels[here]
        exits.append(
            MixtureExit(
                name=name,
                threshold=manifest.thresholds.get(name),
                share=float(here.mean()),
                latency=summarize(times_ms[:, here]) if some else None,
                accuracy=_accuracy(runs.labels[here], known),
            )
        )
    return tuple(exits)


def _accuracy(predicted: NDArray[np.int64], labels: NDArray[np.int64] | None) -> float | None:
    return None if labels is None else float((predicted == labels).mean())
