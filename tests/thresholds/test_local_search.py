"""Networks with more branches than all of whose settings can be counted."""

from __future__ import annotations

import numpy as np
import pytest
from edgeexit_runtime.gate import NEVER
from support.settings import costs_of, one_by_one

from edgeexit.evaluation import ExitPredictions, PathCosts
from edgeexit.thresholds import search_thresholds
from edgeexit.thresholds.worst_path import worst_path

STAGES, BRANCHES = np.array([10, 12, 9, 14, 20, 15]), (3, 8, 1, 6, 2, 4)
GAP = 1e-3  # of cost at equal accuracy, on average over the front


def trained_like(branches: int, samples: int, seed: int) -> ExitPredictions:
    """Return predictions of exits that grow surer and better."""
    random = np.random.default_rng(seed)
    exits = branches + 1
    confidences = random.beta(np.linspace(2, 20, exits)[:, None], 1, (exits, samples))
    labels = (random.random((exits, samples)) > confidences).astype(np.int64)
    names = (*(f"exit{number}" for number in range(1, exits)), "final")
    return ExitPredictions(names, confidences.astype(np.float32), labels, np.zeros(samples, int))


@pytest.mark.parametrize(("branches", "size"), [(3, 40), (4, 20)])
@pytest.mark.parametrize("max_path", [None, 41])
def test_near_the_exact_front(branches: int, size: int, max_path: int | None) -> None:
    predictions = trained_like(branches, 800, seed=branches)
    paths = np.cumsum(STAGES + BRANCHES)[: branches + 1]
    costs = PathCosts(predictions.exit_names, tuple(paths), BRANCHES[: branches + 1], None)
    shares = np.linspace(0, 1, size)[1:-1]
    grids = [
        np.unique(np.append(np.quantile(values, shares), [0, NEVER])).astype(np.float32)
        for values in predictions.confidences[:-1]
    ]
    exact, local = (
        search_thresholds(predictions, costs, grids, max_path_cost=max_path, most_exact=most_exact)
        for most_exact in (branches, 2)
    )
    assert (exact.exact, local.exact) == (True, False)
    places = np.searchsorted(local.correct, exact.correct)
    assert places[-1] < len(local), "the highest accuracy is reached"
    more = local.cost[places] / exact.cost - 1
    assert more.min() >= 0, "nothing is better than the best there is"
    assert more.mean() < GAP
    if max_path is not None:
        assert all(worst_path(costs, values.tolist()) <= max_path for values in local.thresholds)


def test_settings_have_their_own_outcomes_each_time_the_same() -> None:
    predictions = trained_like(5, 150, seed=0)
    costs = costs_of(predictions)
    done: list[float] = []
    front, again = (search_thresholds(predictions, costs, progress=done.append) for _ in range(2))
    assert (front.thresholds.tolist(), front.settings) == (
        again.thresholds.tolist(),
        again.settings,
    )
    assert max(done) == done[-1] == 1
    assert not front.exact
    assert len(front) > 5
    for place in range(len(front)):
        want = one_by_one(predictions, costs, front.thresholds[place].tolist())
        assert (front.correct[place], front.cost[place]) == (want.correct, want.cost)
    assert (np.diff(front.correct) > 0).all()
    assert (np.diff(front.cost) > 0).all()


def test_exits_that_do_not_pay_are_off() -> None:
    # the first four branches cost more than the rest of the network
    predictions = trained_like(5, 300, seed=2)
    names = predictions.exit_names
    branches = (1000, 1000, 1000, 1000, 1, 1)
    paths = tuple(np.cumsum(np.array(branches) + 10).tolist())
    front = search_thresholds(predictions, PathCosts(names, paths, branches, 61))
    cheap = [setting for setting in front if setting.average_cost < 100]
    assert len(cheap) > 3
    for setting in cheap:
        on = [name for name, value in setting.thresholds.items() if value != NEVER]
        assert set(on) <= {"exit5"}, setting
