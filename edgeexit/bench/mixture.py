"""Real images one by one: the chain, the plain backbone, and what else they are compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from edgeexit_runtime import Manifest
from edgeexit_runtime.timing import summarize
from numpy.typing import NDArray

from edgeexit.bench.alternatives import Alternative, AlternativeResult
from edgeexit.bench.images import BenchImages
from edgeexit.bench.matched import Choice, judge_matched
from edgeexit.bench.passes import Passes, Runs, take_passes
from edgeexit.bench.percentiles import percentiles
from edgeexit.bench.report import BenchOptions, Mixture, MixtureExit
from edgeexit.bench.steadiness import Drift, find_drift
from edgeexit.bench.turns import Progress

__all__ = ["measure_mixture"]


def measure_mixture(
    chain: Alternative,
    plain: Alternative,
    others: Sequence[Alternative],
    images: BenchImages,
    options: BenchOptions,
    progress: Progress,
    choice: Choice | None = None,
) -> tuple[Mixture, Drift | None]:
    """Return the timings of all on the same images, whole passes over all of them.

    Args:
        chain: at the thresholds of its bundle.
        plain: its plain backbone, which everything is set in relation to.
        others: what else runs.
        images: real ones.
        options: how to measure.
        progress: told how far it is.
        choice: of thresholds that match a model among ``others``; those chosen are among them.

    Returns:
        The mixture, and how the plain backbone's speed drifted, None where that was too short.
    """
    passes = take_passes(
        (chain, plain, *others), images.images, 1, options, progress, step="mixture"
    )
    ours, theirs, *more = passes.runs
    ours_ms, theirs_ms = passes.by_image(ours), passes.by_image(theirs)
    (baseline,) = plain.session.manifest.exits
    manifest = chain.session.manifest
    exits = _mixture_exits(manifest, ours, ours_ms, images.labels)
    # Eq. 5; cost.average_macs, which does the same, would import torch
    paid_macs = manifest.paid_macs
    average_macs = sum(exit_.share * paid_macs[exit_.name] for exit_ in exits)
    mixture = Mixture(
        source=images.source,
        samples=len(images.images),
        exits=exits,
        ratio=float(ours_ms.mean() / theirs_ms.mean()),
        macs_ratio=average_macs / baseline.path_macs,
        latency=summarize(ours_ms),
        baseline_latency=summarize(theirs_ms),
        accuracy=_accuracy(ours.labels, images.labels),
        baseline_accuracy=_accuracy(theirs.labels, images.labels),
        left_at=tuple(ours.left_at.tolist()),
        times_ms=_by_pass(ours_ms),
        baseline_times_ms=_by_pass(theirs_ms),
        percentiles=percentiles(ours_ms, independent=len(images.images)),
        baseline_percentiles=percentiles(theirs_ms, independent=len(images.images)),
        alternatives=tuple(
            _result(runs, passes, images.labels, float(theirs_ms.mean())) for runs in more
        ),
        matched=None
        if choice is None or images.labels is None
        else judge_matched(choice, passes, images.labels),
    )
    return mixture, find_drift("mixture", theirs.times_ms.tolist())


def _result(
    runs: Runs, passes: Passes, labels: NDArray[np.int64] | None, plain_mean_ms: float
) -> AlternativeResult:
    times_ms = passes.by_image(runs)
    return AlternativeResult(
        name=runs.alternative.name,
        thresholds=dict(runs.alternative.thresholds),
        accuracy=_accuracy(runs.labels, labels),
        latency=summarize(times_ms),
        percentiles=percentiles(times_ms, independent=times_ms.shape[1]),
        ratio=float(times_ms.mean()) / plain_mean_ms,
        times_ms=_by_pass(times_ms),
    )


def _mixture_exits(
    manifest: Manifest,
    runs: Runs,
    times_ms: NDArray[np.float64],
    labels: NDArray[np.int64] | None,
) -> tuple[MixtureExit, ...]:
    exits = []
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


def _by_pass(times_ms: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, times_ms.tolist()))
