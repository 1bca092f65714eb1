"""Measured paths and images with labels -> advice: ``tune --objective latency`` within the run.

Thresholds are chosen on one half of the images, the validation half, and evaluated on the other,
the test half. The time of a sample is the median of its path's calls in this run, without the
branches of exits that are switched off, in analogy to the MACs of Eq. 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from edgeexit_runtime import Manifest
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.bench.advice.basis import Basis, halves
from edgeexit.bench.results.advice import Advice, Choice, Gain
from edgeexit.bench.results.backends import BackendChoice
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.timings import PathTiming
from edgeexit.bench.timing.paths import PathTimes
from edgeexit.formats import format_command
from edgeexit.statistics.bootstrap import mean_intervals
from edgeexit.statistics.percentiles import count_for_point

if TYPE_CHECKING:
    from edgeexit.cost import ExitCosts
    from edgeexit.evaluation import ExitPredictions, PathCosts

MIN_IMAGES = 40  # thresholds are chosen on half; with fewer, one image is over 5 % of the accuracy
P99 = 0.99


def advise(
    engine_dir: str | Path,
    manifest: Manifest,
    times: PathTimes,
    basis: Basis | str,
    options: BenchOptions,
) -> tuple[Advice | None, str | None]:
    """Return the advice, or None and the reason why there is none.

    Args:
        engine_dir: the bundle's folder, for the command that applies the advice.
        times: of the exit paths.
        basis: to choose thresholds by, or the reason why none can be chosen.
        options: of the run, with the backend that was measured.
    """
    if len(manifest.exits) == 1:
        return None, "no advice: this network has no branches, so there is nothing to choose"
    if isinstance(basis, str):
        return None, f"no advice: {basis}"
    images = len(basis.predictions.targets)
    if images < MIN_IMAGES:
        return None, (
            f"no advice: expected at least {MIN_IMAGES} images with labels, to choose on half of "
            f"them, got {images}"
        )
    return _advise(engine_dir, manifest, times, basis, options), None


def _advise(
    engine_dir: str | Path,
    manifest: Manifest,
    times: PathTimes,
    basis: Basis,
    options: BenchOptions,
) -> Advice:
    from edgeexit.cost import bundle_costs
    from edgeexit.evaluation import PathCosts, evaluate_adaptive

    exits, costs, now = bundle_costs(manifest), basis.costs, manifest.thresholds
    halved = halves(len(basis.predictions.targets), options.seed)
    validation, test = map(basis.predictions.take, halved)
    target = evaluate_adaptive(validation, now, exits).adaptive_accuracy
    by_latency = _choose(validation, costs, target)
    by_eq5 = _choose(validation, PathCosts.in_macs(exits), target)
    best_ms, eq5_ms, now_ms = (
        _paid_ms(test, costs, thresholds) for thresholds in (by_latency, by_eq5, now)
    )
    baseline_ms = times.baseline.latency.p50_ms
    judge = partial(_judge, test, exits, costs, times.paths)
    return Advice(
        target_accuracy=target,
        validation_images=len(validation.targets),
        test_images=len(test.targets),
        baseline_ms=baseline_ms,
        baseline_accuracy=float(test.correct[-1].mean()),
        by_latency=judge("measured latency", by_latency),
        by_eq5=judge("Eq. 5", by_eq5),
        now=judge("the bundle's", now),
        over_now=_gain(now_ms, best_ms),
        over_eq5=_gain(eq5_ms, best_ms),
        over_baseline=_gain(np.full_like(best_ms, baseline_ms), best_ms),
        command=_command(engine_dir, target, options),
    )


def _judge(
    test: ExitPredictions,
    exits: ExitCosts,
    costs: PathCosts,
    paths: Sequence[PathTiming],
    name: str,
    thresholds: dict[str, float],
) -> Choice:
    """Return the results of thresholds on the test half."""
    from edgeexit.evaluation import evaluate_adaptive
    from edgeexit.evaluation.adaptive import bootstrap_intervals

    report = evaluate_adaptive(test, thresholds, exits)
    intervals = bootstrap_intervals(test, thresholds, costs)
    shares = {exit_.name: exit_.share for exit_ in report.exits}
    return Choice(
        name=name,
        thresholds=thresholds,
        switched_off=tuple(exit_ for exit_, value in thresholds.items() if value == NEVER),
        accuracy=intervals.adaptive_accuracy,
        average_ms=intervals.average_cost,
        p99_ms=_p99_ms(paths, shares, costs.paid(thresholds)),
        macs_ratio=report.macs_ratio,
    )


def _choose(validation: ExitPredictions, costs: PathCosts, target: float) -> dict[str, float]:
    """Return the cheapest thresholds that reach ``target``, or else the highest accuracy found."""
    from edgeexit.thresholds import Limits, best_setting, search_thresholds

    front = search_thresholds(validation, costs)
    # a coarse grid may miss the bundle's own accuracy by a sample
    reachable = int(front.correct[-1]) / front.samples
    return best_setting(front, Limits(min_accuracy=min(target, reachable))).thresholds


def _paid_ms(
    test: ExitPredictions, costs: PathCosts, thresholds: Mapping[str, float]
) -> NDArray[np.float64]:
    """Return the milliseconds (n,) of each image of the test half."""
    from edgeexit.evaluation import leaving_exits

    paid = np.array([*costs.paid(thresholds).values()])
    milliseconds: NDArray[np.float64] = paid[leaving_exits(test, thresholds)]
    return milliseconds


def _p99_ms(
    paths: Sequence[PathTiming], shares: Mapping[str, float], paid_ms: Mapping[str, float]
) -> float | None:
    """Return the p99 of calls of the paths taken, each weighted by its exit's share.

    The time of branches that are switched off is subtracted from the calls.
    """
    times, weights = [], []
    for path in paths:
        if not shares[path.name]:
            continue
        calls = np.array(path.times_ms)
        times.append(calls - (path.latency.p50_ms - paid_ms[path.name]))
        weights.append(np.full(len(calls), shares[path.name] / len(calls)))
    joined = np.concatenate(times)
    if len(joined) < count_for_point(100 * P99):
        return None
    order = np.argsort(joined)
    reached = np.cumsum(np.concatenate(weights)[order])
    index = int(np.searchsorted(reached, P99 * reached[-1]))
    return float(joined[order[index]])


def _gain(other_ms: NDArray[np.float64], ours_ms: NDArray[np.float64]) -> Gain:
    """Return the gain per sample; the interval resamples only the samples, not the times."""
    saved_ms = other_ms - ours_ms
    (interval,) = mean_intervals(saved_ms[None])
    return Gain(interval, float(saved_ms.mean() / other_ms.mean()))


def _command(engine_dir: str | Path, target: float, options: BenchOptions) -> str:
    """Return the command that chooses thresholds for the backend that was measured."""
    limits = ("--objective", "latency", "--min-accuracy", f"{target:.4f}")
    backend = options.words(BackendChoice(options.backend))
    return format_command("tune", "--engine-dir", engine_dir, *limits, *backend)
