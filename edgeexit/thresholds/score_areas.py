"""Compare scores by the area under accuracy against average cost of their fronts.

Thresholds of each score are chosen on val and evaluated on test. For a budget, the setting of the
front that is most accurate on val within it is used. The area is the mean accuracy on test over all
budgets, from the largest minimum cost of any score's front to the largest maximum cost. Each
setting is weighted by the range of budgets for which it is best. The area is a mean over images,
and so is the difference of two scores, paired by image: intervals are those of a mean (1.96
standard errors).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit.evaluation.adaptive import sample_outcomes
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.scores import SOFTMAX
from edgeexit.statistics import Interval
from edgeexit.thresholds.front import Front
from edgeexit.thresholds.grids import confidence_grids
from edgeexit.thresholds.search import search_thresholds

DEVIATIONS = 1.96


@dataclass(frozen=True, slots=True)
class ScoreArea:
    """Results of one score over all budgets.

    Attributes:
        score: name of the score.
        area: mean accuracy on test, a fraction.
        over_softmax: area minus that of the largest softmax value.
        average_cost: mean cost on test, over that of the largest softmax value.
    """

    score: str
    area: Interval
    over_softmax: Interval
    average_cost: Interval


def compare_scores(
    answers: Mapping[str, tuple[ExitPredictions, ExitPredictions]],
    costs: PathCosts,
    grid_size: int | None = None,
) -> list[ScoreArea]:
    """Return the area of each score.

    Args:
        answers: one network's predictions for val and test by score, including ``softmax``.
        costs: costs of the paths to the exits.
        grid_size: see :func:`confidence_grids`.

    Raises:
        TuningError: the grid is too small or too large.
    """
    fronts = {
        score: search_thresholds(val, costs, confidence_grids(val, grid_size))
        for score, (val, _) in answers.items()
    }
    low = max(int(front.cost[0]) / front.samples for front in fronts.values())
    high = max(int(front.cost[-1]) / front.samples for front in fronts.values())
    evaluated = {
        score: _over_budgets(front, answers[score][1], low, high) for score, front in fronts.items()
    }
    usual_right, usual_cost = evaluated[SOFTMAX]
    found = []
    for score, (right, cost) in evaluated.items():
        ratio = _mean(cost / usual_cost.mean())
        found.append(ScoreArea(score, _mean(right), _mean(right - usual_right), ratio))
    return found


def _over_budgets(
    front: Front, test: ExitPredictions, low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (N,) of test: the share of budgets at which an image is correct, and its mean cost."""
    begins = np.clip(front.cost / front.samples, low, high)
    lengths = np.diff(np.append(begins, high))
    if high <= low:  # the only budget is that of the last setting
        lengths[-1] = 1
    lengths = lengths / lengths.sum()
    right, cost = np.zeros((2, len(test.targets)))
    for place in np.flatnonzero(lengths).tolist():
        correct, paid = sample_outcomes(test, front.setting(place).thresholds, front.costs)
        right += lengths[place] * correct
        cost += lengths[place] * paid
    return right, cost


def _mean(values: NDArray[np.float64]) -> Interval:
    mean = float(values.mean())
    reach = (
        DEVIATIONS * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0
    )
    return Interval(mean, mean - reach, mean + reach)
