"""How far a report on some samples may be off: percentile bootstrap intervals.

Resampling N samples with replacement again and again would take N draws each time. What is
reported depends on a sample only through the exit that it left at, whether that answer was right,
and whether the backbone alone would have been right: one of 4 M kinds. The numbers of each kind in
a resample are one multinomial draw (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
Sections 6.2 and 13.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit.evaluation.adaptive import leaving_exits
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions

__all__ = ["CONFIDENCE_LEVEL", "RESAMPLES", "Interval", "ReportIntervals", "bootstrap_intervals"]

RESAMPLES = 10_000
CONFIDENCE_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure lies with the probability :data:`CONFIDENCE_LEVEL`."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ReportIntervals:
    """Intervals of what an adaptive report says of other samples of the same kind.

    Attributes:
        adaptive_accuracy: fraction, 0 to 1.
        backbone_accuracy: of the final exit alone.
        accuracy_drop: backbone minus adaptive, sample by sample: much narrower than the two apart.
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
    """Return the intervals of what :func:`edgeexit.evaluation.evaluate_adaptive` reports.

    The thresholds count as given. Where they were chosen on the same samples the intervals are too
    narrow and too high: choose them on others.

    Args:
        predictions: of every exit for every sample.
        thresholds: gamma of every exit but ``final``.
        costs: what a sample that leaves at each exit has paid.
        seed: of the resampling.

    Raises:
        InputError: a threshold is missing, of an unknown exit, or outside 0 to 2.
    """
    left_at = leaving_exits(predictions, thresholds)
    samples = len(left_at)
    right = predictions.correct[left_at, np.arange(samples)]
    kinds = 4 * left_at + 2 * right + predictions.correct[-1]
    present, counts = np.unique(kinds, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(samples, counts / samples, RESAMPLES)
    shares = drawn / samples  # (RESAMPLES, kinds present)
    is_right, backbone_right = present // 2 % 2, present % 2
    paid = np.array([*costs.paid(thresholds).values()])
    return ReportIntervals(
        adaptive_accuracy=_interval(shares @ is_right),
        backbone_accuracy=_interval(shares @ backbone_right),
        accuracy_drop=_interval(shares @ (backbone_right - is_right)),
        average_cost=_interval(shares @ paid[present // 4]),
    )


def _interval(values: NDArray[np.float64]) -> Interval:
    outside = (1 - CONFIDENCE_LEVEL) / 2
    low, high = np.quantile(values, (outside, 1 - outside))
    return Interval(float(low), float(high))
