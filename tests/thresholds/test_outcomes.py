"""Many settings counted at once, against each tried by a loop over samples."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.evaluation import ExitPredictions, PathCosts
from edgeexit.thresholds.outcomes import Place, SearchSpace, count_outcomes

Draw = Callable[..., ExitPredictions]
Costs = Callable[[ExitPredictions], PathCosts]


def grid(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


GRIDS = {
    "with never": (grid(0, 0.3, 0.5, 0.8, NEVER), grid(0.5, 0.7, 0.9, NEVER), grid(0.4, 1, NEVER)),
    "without never": (grid(0.4, 0.6), grid(0.25, 0.5, 0.75), grid(0.2, 0.7, 0.8, 1)),
}


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("branches", [0, 1, 2, 3])
def test_all_exits_free(
    random_predictions: Draw, costs_of: Costs, one_by_one: Any, branches: int, kind: str
) -> None:
    predictions = random_predictions(branches)
    grids = GRIDS[kind][:branches]
    costs = costs_of(predictions)
    space = SearchSpace(predictions, costs, grids)
    shape = tuple(map(len, grids))
    place = Place(space, (0,) * branches)
    got = count_outcomes(space, place, range(branches), [np.arange(n) for n in shape])
    assert got.correct.shape == got.cost.shape == shape
    for index in itertools.product(*map(range, shape)):
        gammas = tuple(values[t] for values, t in zip(grids, index, strict=True))
        want = one_by_one(predictions, costs, gammas)
        assert (got.correct[index], got.cost[index]) == (want.correct, want.cost), gammas


@pytest.mark.parametrize("free", [(), (0,), (3,), (0, 1), (1, 4), (0, 2, 3), (1, 2, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_some_exits_fixed(
    random_predictions: Draw, costs_of: Costs, one_by_one: Any, free: tuple[int, ...], seed: int
) -> None:
    predictions = random_predictions(5, seed=seed)
    costs = costs_of(predictions)
    grids = (grid(0, 0.3, 0.5, 0.8, NEVER),) * 5
    space = SearchSpace(predictions, costs, grids)
    random = np.random.default_rng(seed)
    setting = tuple(random.integers(0, 5, 5).tolist())  # some are switched off among them
    values = [np.sort(random.permutation(5)[:3]) for _ in free]
    got = count_outcomes(space, Place(space, setting), free, values)
    assert got.cost.shape == (3,) * len(free)
    for index in itertools.product(range(3), repeat=len(free)):
        tried = list(setting)
        for exit_, numbers, place in zip(free, values, index, strict=True):
            tried[exit_] = int(numbers[place])
        gammas = [values_[t] for values_, t in zip(grids, tried, strict=True)]
        want = one_by_one(predictions, costs, gammas)
        assert (got.correct[index], got.cost[index]) == (want.correct, want.cost), gammas


def test_nan_confidences_leave_nowhere(
    random_predictions: Draw, costs_of: Costs, one_by_one: Any
) -> None:
    predictions = random_predictions(2)
    predictions.confidences[:, ::3] = np.nan
    costs = costs_of(predictions)
    space = SearchSpace(predictions, costs, GRIDS["with never"][:2])
    got = count_outcomes(space, Place(space, (0, 0)), (0, 1), [np.arange(1), np.arange(1)])
    want = one_by_one(predictions, costs, (0.0, 0.5))
    assert (got.correct.item(), got.cost.item()) == (want.correct, want.cost)


@pytest.mark.parametrize("free", [(0,), (0, 1)])
def test_cost_is_exact_beyond_the_integers_of_float64(free: tuple[int, ...]) -> None:
    samples = 1_000_001
    predictions = ExitPredictions(
        ("exit1", "exit2", "final"),
        np.full((3, samples), 0.5, np.float32),
        np.zeros((3, samples), np.int64),
        np.zeros(samples, np.int64),
    )
    paths = (9_007_199_999, 9_007_200_001, 30_007_200_003)
    costs = PathCosts(predictions.exit_names, paths, (1, 1, 1), None)
    space = SearchSpace(predictions, costs, (grid(0.5, 0.6), grid(0.5, 0.6)))
    place = Place(space, (1, 1))
    got = count_outcomes(space, place, free, [np.arange(2) for _ in free])
    expected = {
        (0,): [samples * paths[0], samples * paths[2]],
        (0, 1): [[samples * paths[0]] * 2, [samples * paths[1], samples * paths[2]]],
    }
    assert got.cost.tolist() == expected[free]
