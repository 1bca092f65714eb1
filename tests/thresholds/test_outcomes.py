"""Many settings counted at once, against each tried by a loop over samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray
from support.settings import costs_of, one_by_one, random_predictions

from edgeexit.evaluation import ExitPredictions, PathCosts
from edgeexit.thresholds.outcomes import SearchSpace, count_outcomes


def grid(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


GRIDS = {
    "with never": (grid(0, 0.3, 0.5, 0.8, NEVER), grid(0.5, 0.7, 0.9, NEVER), grid(0.4, 1, NEVER)),
    "without never": (grid(0.4, 0.6), grid(0.25, 0.5, 0.75), grid(0.2, 0.7, 0.8, 1)),
}


def check_all(
    space: SearchSpace,
    setting: tuple[int, ...],
    free: tuple[int, ...],
    values: list[NDArray[np.intp]],
) -> None:
    """Compare each combination of values with a loop over samples."""
    correct, cost = count_outcomes(space, setting, free, values)
    assert correct.shape == cost.shape == tuple(map(len, values))
    for index in itertools.product(*(range(len(numbers)) for numbers in values)):
        tried = list(setting)
        for exit_, numbers, place in zip(free, values, index, strict=True):
            tried[exit_] = int(numbers[place])
        gammas = [numbers[t] for numbers, t in zip(space.grids, tried, strict=True)]
        want = one_by_one(space.predictions, space.costs, gammas)
        assert (correct[index], cost[index]) == (want.correct, want.cost), gammas


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("branches", [0, 1, 2, 3])
def test_all_exits_free(branches: int, kind: str) -> None:
    predictions = random_predictions(branches)
    space = SearchSpace(predictions, costs_of(predictions), GRIDS[kind][:branches])
    everything = [np.arange(len(values)) for values in space.grids]
    check_all(space, (0,) * branches, tuple(range(branches)), everything)


@pytest.mark.parametrize("free", [(), (0,), (3,), (0, 1), (1, 4), (0, 2, 3), (1, 2, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_some_exits_fixed(free: tuple[int, ...], seed: int) -> None:
    predictions = random_predictions(5, seed=seed)
    space = SearchSpace(predictions, costs_of(predictions), (grid(0, 0.3, 0.5, 0.8, NEVER),) * 5)
    random = np.random.default_rng(seed)
    setting = tuple(random.integers(0, 5, 5).tolist())  # some are switched off among them
    check_all(space, setting, free, [np.sort(random.permutation(5)[:3]) for _ in free])


def test_nan_confidences_leave_nowhere() -> None:
    predictions = random_predictions(2)
    predictions.confidences[:, ::3] = np.nan
    space = SearchSpace(predictions, costs_of(predictions), GRIDS["with never"][:2])
    check_all(space, (0, 0), (0, 1), [np.arange(1), np.arange(1)])


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
    _, cost = count_outcomes(space, (1, 1), free, [np.arange(2) for _ in free])
    expected = {
        (0,): [samples * paths[0], samples * paths[2]],
        (0, 1): [[samples * paths[0]] * 2, [samples * paths[1], samples * paths[2]]],
    }
    assert cost.tolist() == expected[free]
