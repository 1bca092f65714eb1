"""Areas under accuracy against average cost, against a sum over budgets that is written out."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexit.evaluation import ExitPredictions, PathCosts, leaving_exits
from edgeexit.thresholds import confidence_grids, search_thresholds
from edgeexit.thresholds.score_areas import compare_scores

COSTS = PathCosts(("exit1", "final"), (4, 6), (1, 0), 10)


def made_up(seed: int, informed: bool, samples: int = 400) -> ExitPredictions:
    """Return answers of which the sure ones are right, or whose confidences say nothing."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(size=samples)
    right = rng.uniform(size=samples) < sure
    shown = sure if informed else rng.uniform(size=samples)
    return ExitPredictions(
        ("exit1", "final"),
        np.stack([shown, np.ones(samples)]).astype(np.float32),
        np.stack([np.where(right, 0, 1), (rng.uniform(size=samples) < 0.05).astype(np.int64)]),
        np.zeros(samples, np.int64),
    )


def test_an_area_is_the_mean_accuracy_over_budgets() -> None:
    val, test = made_up(0, True), made_up(1, True)
    (area,) = compare_scores({"softmax": (val, test)}, COSTS)
    front = search_thresholds(val, COSTS, confidence_grids(val))
    settings = list(front)
    accuracies = []
    for budget in np.linspace(settings[0].average_cost, settings[-1].average_cost, 2_001):
        within = [setting for setting in settings if setting.average_cost <= budget + 1e-9]
        left_at = leaving_exits(test, within[-1].thresholds)
        accuracies.append(test.correct[left_at, np.arange(400)].mean())
    assert area.area.value == pytest.approx(np.mean(accuracies), abs=1e-3)
    assert area.area.low < area.area.value < area.area.high
    assert (area.over_softmax.value, area.average_cost.value) == pytest.approx((0, 1))


def test_a_score_that_says_nothing_is_worse_and_told_apart() -> None:
    splits = {
        name: (made_up(0, informed), made_up(1, informed))
        for name, informed in (("softmax", True), ("luck", False))
    }
    _, luck = compare_scores(splits, COSTS)
    assert luck.score == "luck"
    assert luck.over_softmax.is_below(0)


def test_a_front_of_one_setting() -> None:
    answers = made_up(0, True)
    always = ExitPredictions(
        answers.exit_names, answers.confidences, np.zeros_like(answers.labels), answers.targets
    )
    (area,) = compare_scores({"softmax": (always, always)}, COSTS)
    assert area.area.value == 1
