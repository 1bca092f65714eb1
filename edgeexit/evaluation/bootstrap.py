"""Bootstrap intervals of the figures in an adaptive report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgeexit.evaluation.adaptive import leaving_exits
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import mean_intervals


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


def bootstrap_intervals(
    predictions: ExitPredictions,
    thresholds: Mapping[str, float],
    costs: PathCosts,
    seed: int = 0,
) -> ReportIntervals:
    """Return the intervals of the figures of :func:`edgeexit.evaluation.evaluate_adaptive`.

    The thresholds are treated as fixed. If they were chosen on the same samples, the intervals are
    too narrow and too high; choose them on other samples.

    Args:
        predictions: predictions of every exit for every sample.
        thresholds: gamma of every exit but ``final``.
        costs: cost of the path to each exit.
        seed: seed of the resampling.

    Raises:
        InputError: a threshold is missing, of an unknown exit, or outside 0 to 2.
    """
    left_at = leaving_exits(predictions, thresholds)
    right = predictions.correct[left_at, np.arange(len(left_at))].astype(np.float64)
    backbone_right = predictions.correct[-1].astype(np.float64)
    paid = np.array([*costs.paid(thresholds).values()])[left_at]
    average_cost, adaptive, backbone, drop = mean_intervals(
        np.stack([paid, right, backbone_right, backbone_right - right]), seed
    )
    return ReportIntervals(adaptive, backbone, drop, average_cost)
