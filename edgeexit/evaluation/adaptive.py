"""Adaptive accuracy and average cost of early exit at fixed thresholds (Section V-A).

Figures of some samples have bootstrap intervals for other samples from the same source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from edgeexit_runtime.gate import Predictions, check_thresholds
from numpy.typing import NDArray

from edgeexit.cost import ExitCosts, average_macs
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import mean_intervals


@dataclass(frozen=True, slots=True)
class ExitReport:
    """One exit at its threshold. Accuracies and shares are fractions from 0 to 1.

    Attributes:
        name: the exit's name.
        threshold: gamma_m; None for ``final``, where all remaining samples leave.
        accuracy: over all samples, as if none had left before.
        share: r_m, samples that leave here over all samples.
        leaving_accuracy: over the samples that leave here; None if there are none.
        macs: f_m of Tables II and III.
        path_macs: cost of each sample that leaves here: the bracket of Eq. 5, without the branches
            of exits that are switched off.
    """

    name: str
    threshold: float | None
    accuracy: float
    share: float
    leaving_accuracy: float | None
    macs: int
    path_macs: int


@dataclass(frozen=True, slots=True)
class AdaptiveReport:
    """A network at its thresholds, compared with the plain backbone.

    Attributes:
        exits: one report per exit in order, ``final`` last.
        samples: number of samples, N.
        adaptive_accuracy: accuracy of the predictions with which samples leave.
        average_macs: Eq. 5.
        backbone_accuracy: accuracy of the final exit over all samples, that of the plain backbone.
        baseline_macs: cost of the plain backbone.
        accuracy_ratio: adaptive accuracy over the backbone's; None if that is 0.
        macs_ratio: average MACs over the baseline's.
    """

    exits: tuple[ExitReport, ...]
    samples: int
    adaptive_accuracy: float
    average_macs: float
    backbone_accuracy: float
    baseline_macs: int
    accuracy_ratio: float | None
    macs_ratio: float


@dataclass(frozen=True, slots=True)
class ReportIntervals:
    """Intervals of an adaptive report's figures, for other samples from the same source.

    Attributes:
        adaptive_accuracy: fraction, 0 to 1.
        backbone_accuracy: accuracy of the final exit alone.
        accuracy_drop: backbone minus adaptive, paired by sample: much narrower than from the two
            intervals.
        average_cost: Eq. 5, in the unit of the costs.
    """

    adaptive_accuracy: Interval
    backbone_accuracy: Interval
    accuracy_drop: Interval
    average_cost: Interval


def leaving_exits(
    predictions: ExitPredictions, thresholds: Mapping[str, float]
) -> NDArray[np.int64]:
    """Return the 0-based exit at which each sample leaves, (N,) int64.

    A sample leaves at the first exit where its confidence is at least the threshold
    (Section III-C). Both are compared as float32, as in the exported graphs. All remaining samples
    leave at ``final``.

    Raises:
        InputError: a threshold is missing, of an unknown exit, or outside 0 to 2.
    """
    branches = predictions.exit_names[:-1]
    ordered = check_thresholds(thresholds, branches)
    gammas = np.array([ordered[name] for name in branches], np.float32)
    leaves = np.ones(predictions.confidences.shape, np.bool_)  # (M, N)
    leaves[:-1] = predictions.confidences[:-1] >= gammas[:, None]
    left_at: NDArray[np.int64] = leaves.argmax(axis=0)
    return left_at


def routed(predictions: ExitPredictions, thresholds: Mapping[str, float]) -> Predictions:
    """Return the predictions with which samples leave; see :func:`leaving_exits`."""
    left_at = leaving_exits(predictions, thresholds)
    samples = np.arange(len(left_at))
    return Predictions(
        predictions.labels[left_at, samples], predictions.confidences[left_at, samples], left_at
    )


def sample_outcomes(
    predictions: ExitPredictions, thresholds: Mapping[str, float], costs: PathCosts
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return whether each sample leaves with the right label, and its cost in the unit, (N,) each.

    Raises:
        InputError: a threshold is missing, of an unknown exit, or outside 0 to 2.
    """
    left_at = leaving_exits(predictions, thresholds)
    paid = np.array([*costs.paid(thresholds).values()])
    return predictions.correct[left_at, np.arange(len(left_at))], paid[left_at]


def bootstrap_intervals(
    predictions: ExitPredictions, thresholds: Mapping[str, float], costs: PathCosts
) -> ReportIntervals:
    """Return the intervals of the figures of :func:`evaluate_adaptive`.

    The thresholds are treated as fixed. If they were chosen on the same samples, the intervals are
    too narrow and too high; choose them on other samples.
    """
    correct, paid = sample_outcomes(predictions, thresholds, costs)
    right, backbone_right = correct.astype(np.float64), predictions.correct[-1].astype(np.float64)
    average_cost, adaptive, backbone, drop = mean_intervals(
        np.stack([paid, right, backbone_right, backbone_right - right])
    )
    return ReportIntervals(adaptive, backbone, drop, average_cost)


def evaluate_adaptive(
    predictions: ExitPredictions, thresholds: Mapping[str, float], cost: ExitCosts
) -> AdaptiveReport:
    """Report accuracy and cost when samples leave by ``thresholds``.

    Args:
        predictions: predictions of every exit for every sample.
        thresholds: gamma_m of every exit except ``final``, 0 to 1, or
            :data:`edgeexit_runtime.gate.NEVER`.
        cost: costs of the network that made the predictions.

    Raises:
        InputError: a threshold is missing, of an unknown exit, or outside 0 to 2.
    """
    names = tuple(exit_.name for exit_ in cost.exits)
    if names != predictions.exit_names:
        raise ValueError(f"predictions of exits {predictions.exit_names}, costs of {names}")
    left_at = leaving_exits(predictions, thresholds)
    samples = len(left_at)
    paid = PathCosts.in_macs(cost).paid(thresholds)
    exits = tuple(
        ExitReport(
            name=exit_.name,
            threshold=thresholds.get(exit_.name),
            accuracy=float(correct.mean()),
            share=int(np.count_nonzero(leaves)) / samples,
            leaving_accuracy=float(correct[leaves].mean()) if leaves.any() else None,
            macs=exit_.macs,
            path_macs=round(paid[exit_.name]),
        )
        for exit_, correct, leaves in zip(
            cost.exits, predictions.correct, left_at == np.arange(len(names))[:, None], strict=True
        )
    )
    right = int(np.count_nonzero(predictions.correct[left_at, np.arange(samples)]))
    backbone_right = int(np.count_nonzero(predictions.correct[-1]))
    average = average_macs(
        {exit_.name: exit_.share for exit_ in exits},
        {exit_.name: exit_.path_macs for exit_ in exits},
    )
    return AdaptiveReport(
        exits=exits,
        samples=samples,
        adaptive_accuracy=right / samples,
        average_macs=average,
        backbone_accuracy=backbone_right / samples,
        baseline_macs=cost.baseline_macs,
        accuracy_ratio=right / backbone_right if backbone_right else None,
        macs_ratio=average / cost.baseline_macs,
    )
