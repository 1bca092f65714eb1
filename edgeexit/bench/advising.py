"""Measured paths and images with labels -> advice: ``tune --objective latency`` within the run.

Thresholds are chosen on one half of the images and judged on the other. What a sample takes is the
median of its path's calls in this run, without the branches of exits that are switched off, as
Eq. 5 adds up MACs.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np
from edgeexit_runtime import Manifest
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.bench.advice import Advice, Choice, Gain
from edgeexit.bench.block_bootstrap import interval
from edgeexit.bench.images import BenchImages
from edgeexit.bench.percentiles import count_for_point
from edgeexit.bench.predictions import halves
from edgeexit.bench.report import BenchReport
from edgeexit.errors import DataError

if TYPE_CHECKING:
    from edgeexit.evaluation import ExitPredictions, PathCosts

__all__ = ["MIN_IMAGES", "advise"]

MIN_IMAGES = 40  # half of them choose: of fewer, one is over 5 % of the accuracy
RESAMPLES = 2000
P99 = 0.99


def advise(
    report: BenchReport,
    manifest: Manifest,
    images: BenchImages | None,
    predictions: ExitPredictions | None,
) -> tuple[Advice | None, str | None]:
    """Return the advice, or None and in words why there is none.

    Args:
        report: of this run: its paths and branches are what is kept low.
        manifest: of the bundle.
        images: with labels.
        predictions: of every exit for these images.
    """
    if len(manifest.exits) == 1:
        return None, "no advice: this network has no branches, so that there is nothing to choose"
    if images is None or predictions is None:
        got = "none were given" if images is None else "these have none"
        return None, f"no advice: it takes images with labels, and {got}"
    if len(images.images) < MIN_IMAGES:
        return None, (
            f"no advice: expected {MIN_IMAGES} images with labels or more, to choose on half of "
            f"them, got {len(images.images)}"
        )
    try:
        return _Adviser(report, manifest, predictions).advice(), None
    except DataError as error:  # noise made a branch dearer than the path it is on
        return None, f"no advice: {error}"


class _Adviser:
    """One network's answers, in two halves, and its costs."""

    def __init__(
        self, report: BenchReport, manifest: Manifest, predictions: ExitPredictions
    ) -> None:
        from edgeexit.cost import bundle_costs
        from edgeexit.evaluation import PathCosts

        self._report = report
        self._manifest = manifest
        self._exits = bundle_costs(manifest)
        self._macs = PathCosts.in_macs(self._exits.exits)
        choosing, judging = halves(len(predictions.targets), report.options.seed)
        self._choosing = predictions.take(choosing)
        self._judging = predictions.take(judging)

    def advice(self) -> Advice:
        from edgeexit.evaluation import evaluate_adaptive
        from edgeexit.evaluation.cost_files import costs_of_report

        costs = costs_of_report(self._report)
        stored = self._manifest.thresholds
        wanted = evaluate_adaptive(self._choosing, stored, self._exits).adaptive_accuracy
        by_latency = self._choose(costs, wanted)
        by_eq5 = self._choose(self._macs, wanted)
        plain_ms = self._report.baseline.latency.p50_ms
        paid = {
            name: self._paid_ms(costs, thresholds)
            for name, thresholds in (("best", by_latency), ("eq5", by_eq5), ("now", stored))
        }
        return Advice(
            target_accuracy=wanted,
            chosen_on=len(self._choosing.targets),
            judged_on=len(self._judging.targets),
            plain_ms=plain_ms,
            plain_accuracy=float(self._judging.correct[-1].mean()),
            by_latency=self._judge("measured latency", by_latency, costs),
            by_eq5=self._judge("Eq. 5", by_eq5, costs),
            now=self._judge("the bundle's", stored, costs),
            over_now=_gain(paid["now"], paid["best"]),
            over_eq5=_gain(paid["eq5"], paid["best"]),
            over_plain=_gain(np.full_like(paid["best"], plain_ms), paid["best"]),
            command=self._command(wanted),
        )

    def _choose(self, costs: PathCosts, wanted: float) -> dict[str, float]:
        """Return the cheapest thresholds of that accuracy, or of the highest that is found."""
        from edgeexit.thresholds import Limits, best_setting, search_thresholds

        front = search_thresholds(self._choosing, costs)
        # a coarse grid may miss the bundle's own accuracy by a sample
        reachable = int(front.correct[-1]) / front.samples
        return best_setting(front, Limits(min_accuracy=min(wanted, reachable))).thresholds

    def _judge(self, name: str, thresholds: dict[str, float], costs: PathCosts) -> Choice:
        from edgeexit.evaluation import evaluate_adaptive
        from edgeexit.evaluation.bootstrap import bootstrap_intervals

        report = evaluate_adaptive(self._judging, thresholds, self._exits)
        intervals = bootstrap_intervals(self._judging, thresholds, costs)
        shares = {exit_.name: exit_.share for exit_ in report.exits}
        return Choice(
            name=name,
            thresholds=thresholds,
            switched_off=tuple(exit_ for exit_, value in thresholds.items() if value == NEVER),
            accuracy=report.adaptive_accuracy,
            accuracy_low=intervals.adaptive_accuracy.low,
            accuracy_high=intervals.adaptive_accuracy.high,
            average_ms=float(self._paid_ms(costs, thresholds).mean()),
            average_low_ms=intervals.average_cost.low,
            average_high_ms=intervals.average_cost.high,
            p99_ms=self._p99_ms(shares, costs.paid(thresholds)),
            macs_ratio=report.macs_ratio,
        )

    def _paid_ms(self, costs: PathCosts, thresholds: dict[str, float]) -> NDArray[np.float64]:
        """Return the milliseconds (n,) of each image that is judged on."""
        from edgeexit.evaluation import leaving_exits

        paid = np.array([*costs.paid(thresholds).values()])
        milliseconds: NDArray[np.float64] = paid[leaving_exits(self._judging, thresholds)]
        return milliseconds

    def _p99_ms(self, shares: dict[str, float], paid_ms: dict[str, float]) -> float | None:
        """Return the p99 of calls of the paths taken, each weighing as many as leave there.

        Where branches are switched off, the calls are faster by what these take.
        """
        times, weights = [], []
        for path in self._report.paths:
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

    def _command(self, wanted: float) -> str:
        options = self._report.options
        words = ["edgeexit", "tune", "--engine-dir", self._report.bundle.folder]
        words += ["--objective", "latency", "--min-accuracy", f"{wanted:.4f}"]
        if options.threads is not None:
            words += ["--threads", str(options.threads)]
        return shlex.join(words)


def _gain(other_ms: NDArray[np.float64], ours_ms: NDArray[np.float64]) -> Gain:
    """Return the gain sample by sample; only the samples are drawn again, not the times."""
    saved = other_ms - ours_ms
    drawn = np.random.default_rng(0).integers(len(saved), size=(RESAMPLES, len(saved)))
    low, high = interval(saved[drawn].mean(axis=1))
    return Gain(float(saved.mean()), low, high, float(saved.mean() / other_ms.mean()))
