"""The picture of the front that thresholds are chosen on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from edgeexit_runtime import NEVER

from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.thresholds.front import Front, Setting, front_by_split, spread_points
from edgeexit.thresholds.front_picture import draw_tuned

COSTS = PathCosts.measured({"exit1": 1.0, "final": 4.0}, {"exit1": 0.5}, baseline=3.5, unit="ms")
TEST = ExitPredictions(
    ("exit1", "final"),
    np.array([[0.9, 0.6, 0.4, 0.2], [0.9, 0.9, 0.9, 0.9]], np.float32),
    np.array([[0, 1, 1, 1], [0, 0, 0, 1]]),
    np.zeros(4, np.int64),
)


FRONT = Front(
    COSTS,
    np.array([[0], [0.5], [NEVER]], np.float32),
    np.array([1, 3, 4]),
    np.array([4, 10, 14]) * COSTS.steps,
    samples=4,
    backbone_correct=4,
    settings=102,
    exact=True,
)


def test_settings_are_judged_on_other_samples() -> None:
    by_split = front_by_split(FRONT, TEST)
    assert by_split["val"] == list(FRONT)
    # all leave at exit1; two of four do, one of them right; nobody does, and no branch is paid
    assert by_split["test"] == [
        Setting({"exit1": 0.0}, 1 / 4, 1.0),
        Setting({"exit1": 0.5}, 2 / 4, (2 * 1 + 2 * 4) / 4),
        Setting({"exit1": 2.0}, 3 / 4, 3.5),
    ]


def test_a_few_settings_are_spread_over_the_cost() -> None:
    assert spread_points(FRONT, 15) == [0, 1, 2]
    assert spread_points(FRONT, 2) == [0, 2]


def test_lines_and_marks_are_where_the_numbers_are() -> None:
    figure = draw_tuned(FRONT, front_by_split(FRONT, TEST), {"exit1": 0.5}, 0.75, "a network")
    (axes,) = figure.axes
    drawn = {str(line.get_label()): line.get_xydata() for line in axes.get_lines()}
    expected = {
        "val, where thresholds are chosen": [(1, 25), (2.5, 75), (3.5, 100)],
        "chosen, on val": [(2.5, 75)],
        "the backbone alone, on val": [(3.5, 100)],
        "test": [(1, 25), (2.5, 50), (3.5, 75)],
        "chosen, on test": [(2.5, 50)],
        "the backbone alone, on test": [(3.5, 75)],
    }
    assert [*drawn] == [*expected]
    for name, places in expected.items():
        np.testing.assert_allclose(drawn[name], places)
    assert axes.get_xlabel() == "average cost (ms)"
    assert axes.get_title() == "a network"


def test_without_a_choice_or_a_backbone_nothing_is_marked() -> None:
    alone = replace(FRONT, costs=replace(COSTS, baseline=None))
    figure = draw_tuned(alone, front_by_split(alone, TEST), None, 0.75, "a network")
    assert len(figure.axes[0].get_lines()) == 2
