from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from support.messages import missing
from support.settings import GRID, costs_of, one_by_one, random_predictions

from edgeexit.errors import TuningError
from edgeexit.evaluation import PathCosts, leaving_exits
from edgeexit.thresholds import search_thresholds
from edgeexit.thresholds.front import NO_COST, unbeaten
from edgeexit.thresholds.worst_path import worst_path


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_unbeaten_is_what_no_other_beats(seed: int) -> None:
    random = np.random.default_rng(seed)
    correct = random.integers(0, 21, (6, 7)).astype(np.int32)
    cost = random.integers(1, 40, (6, 7))
    cost[0, :2] = NO_COST
    pairs = list(zip(correct.ravel().tolist(), cost.ravel().tolist(), strict=True))
    front = {
        (c, p)
        for c, p in pairs
        if p < NO_COST and not any((c2 >= c and p2 <= p) and (c2, p2) != (c, p) for c2, p2 in pairs)
    }
    got = unbeaten(correct, cost, 20).tolist()
    assert [pairs[index] for index in got] == sorted(front)
    last = {pair: index for index, pair in enumerate(pairs)}
    assert got == [last[pair] for pair in sorted(front)]
    assert unbeaten(correct, np.full_like(cost, NO_COST), 20).tolist() == []


@pytest.mark.parametrize("max_path", [None, 34, 12])
@pytest.mark.parametrize("branches", [0, 1, 2, 3])
def test_front_of_every_setting_tried(branches: int, max_path: int | None) -> None:
    predictions = random_predictions(branches)
    costs = costs_of(predictions)
    grids = (GRID,) * branches
    tried = [
        (outcome.correct, -outcome.cost, setting)
        for setting in product(GRID.tolist(), repeat=branches)
        if max_path is None or worst_path(costs, setting) <= max_path
        for outcome in [one_by_one(predictions, costs, setting)]
    ]
    want: list[tuple[int, int, tuple[float, ...]]] = []
    for outcome in sorted(tried, reverse=True):  # most accurate first, then cheapest, then highest
        if not want or outcome[1] > want[-1][1]:
            want.append(outcome)
    front = search_thresholds(predictions, costs, grids, max_path_cost=max_path)
    got = [
        (int(c), -int(p), tuple(t.tolist()))
        for c, p, t in zip(front.correct, front.cost, front.thresholds, strict=True)
    ]
    assert got == want[::-1]
    assert (front.exact, front.settings, front.samples) == (True, 8**branches, 60)
    assert front.backbone_correct == int(predictions.correct[-1].sum())
    assert len(front) == len(list(front)) == len(want)


def test_settings_read_as_what_was_searched() -> None:
    random = np.random.default_rng(2)
    predictions = random_predictions(2, samples=3000)
    predictions.confidences[:] = random.random((3, 3000), np.float32)
    costs = costs_of(predictions)
    front = search_thresholds(predictions, costs)
    for place, setting in enumerate(front):
        values = [np.float32(value) for value in setting.thresholds.values()]
        assert values == front.thresholds[place].tolist()
        left_at = leaving_exits(predictions, setting.thresholds)
        right = predictions.correct[left_at, np.arange(3000)].sum()
        paid = [*costs.paid(setting.thresholds).values()]
        assert setting.accuracy == right / 3000
        assert setting.average_cost == pytest.approx(np.mean([paid[m] for m in left_at]), rel=1e-12)
    shown = {value for setting in front for value in setting.thresholds.values()}
    assert all(len(str(value)) <= 12 for value in shown)  # not 0.9399999976158142


def test_costs_in_any_unit() -> None:
    predictions = random_predictions(2)
    macs = costs_of(predictions)
    names = predictions.exit_names
    measured = PathCosts.measured(
        {name: path / 16 for name, path in zip(names, macs.paths, strict=True)},
        {name: branch / 16 for name, branch in zip(names, macs.branches, strict=True)},
        None,
        "ms",
    )
    in_macs, in_ms = (search_thresholds(predictions, costs) for costs in (macs, measured))
    assert in_ms.thresholds.tolist() == in_macs.thresholds.tolist()
    for one, other in zip(in_macs, in_ms, strict=True):
        assert other.average_cost == pytest.approx(one.average_cost / 16, rel=1e-12)


def test_too_many_settings_are_refused() -> None:
    predictions = random_predictions(3)
    values = np.linspace(0, 1, 1000, dtype=np.float32)
    with pytest.raises(TuningError, match="1000 x 1000 x 1000 values make 1,000,000,000 settings"):
        search_thresholds(predictions, costs_of(predictions), (values,) * 3)


def test_a_path_limit_leaves_out_what_is_dearer_and_names_the_least() -> None:
    predictions = random_predictions(2)
    costs = PathCosts(predictions.exit_names, (7, 19, 30), (1, 8, 2), 21)
    dearest = {
        limit: max(worst_path(costs, setting.tolist()) for setting in front.thresholds)
        for limit in (30.0, np.nextafter(30.0, 0))
        for front in [search_thresholds(predictions, costs, max_path_cost=limit)]
    }
    assert [worst == 30 for worst in dearest.values()] == [True, False]
    assert search_thresholds(predictions, costs, max_path_cost=7).cost.tolist() == [7 * 60]
    for limit in (6, np.nextafter(7.0, 0)):
        with pytest.raises(TuningError) as error:
            search_thresholds(predictions, costs, max_path_cost=limit)
        shown = f"within {limit:.0f} MACs"
        assert not missing(error.value, "every path", shown, "cheapest", "costs 7", "allow that")


@pytest.mark.parametrize(
    "grids",
    [(GRID,), (GRID, np.empty(0, np.float32)), (GRID, GRID[[2, 2]]), (GRID, np.zeros(1))],
    ids=["one missing", "empty", "not ascending", "float64"],
)
def test_grids_that_do_not_fit_are_refused(grids: tuple[Any, ...]) -> None:
    predictions = random_predictions(2)
    with pytest.raises(ValueError, match=r"expected (a grid for each|ascending float32 values)"):
        search_thresholds(predictions, costs_of(predictions), grids)


def test_costs_of_other_exits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"predictions of .*, costs of"):
        search_thresholds(random_predictions(2), costs_of(random_predictions(1)))
