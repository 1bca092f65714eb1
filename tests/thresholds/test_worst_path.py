from __future__ import annotations

import itertools

import numpy as np
import pytest
from edgeexit_runtime.gate import NEVER
from support.settings import one_by_one

from edgeexit.evaluation import ExitPredictions, PathCosts
from edgeexit.thresholds.worst_path import allowed_settings, least_worst_path, worst_path

VALUES = np.array([0, 0.6, 1.0, NEVER], np.float32)
COSTS = PathCosts(("exit1", "exit2", "exit3", "final"), (10, 25, 45, 70), (4, 3, 8, 1), 55)
NOISY = PathCosts(COSTS.exit_names, (10, 25, 20, 22), (4, 3, 2, 1), 55)
"""Measured on a machine that was busy: later paths cost less than the second."""


@pytest.mark.parametrize("costs", [COSTS, NOISY], ids=["exact", "noisy"])
def test_every_setting_against_samples_that_take_every_path(costs: PathCosts) -> None:
    # confidences of 0 and 1 at every exit, in all combinations: whatever is open is taken
    confidences = np.array(list(itertools.product((0, 1), repeat=3)), np.float32).T
    some = np.concatenate([confidences, np.ones((1, 8), np.float32)])
    labels = np.zeros((4, 8), np.int64)
    predictions = ExitPredictions(costs.exit_names, some, labels, np.zeros(8, np.int64))
    dearest = {}
    for setting in itertools.product(VALUES.tolist(), repeat=3):
        dearest[setting] = one_by_one(predictions, costs, setting).dearest
        assert worst_path(costs, setting) == dearest[setting], setting
    for limit in (6, 9, 10, 22, 40, 66, 70):
        allowed = allowed_settings(costs, (VALUES,) * 3, limit)
        want = [worst <= limit for worst in dearest.values()]
        assert allowed.ravel().tolist() == want
    assert least_worst_path(costs, (VALUES,) * 3) == min(dearest.values()) == 10


@pytest.mark.parametrize(
    ("values", "least"),
    [((0.5, NEVER), 55), ((0.0, 0.5), 10), ((0.5,), 70), ((0.0, NEVER), 10)],
)
def test_the_least_of_what_the_grids_have(values: tuple[float, ...], least: int) -> None:
    assert least_worst_path(COSTS, (np.array(values, np.float32),) * 3) == least


def test_without_branches() -> None:
    plain = PathCosts(("final",), (41,), (1,), 41)
    assert worst_path(plain, ()) == least_worst_path(plain, ()) == 41
    assert allowed_settings(plain, (), 41).item() is True
    assert allowed_settings(plain, (), 40).item() is False


def test_fixed_exits_are_one_value() -> None:
    fixed = [VALUES[[3]], VALUES, VALUES[[1]]]
    got = allowed_settings(COSTS, fixed, 66)
    assert got.shape == (1, 4, 1)
    want = [worst_path(COSTS, (NEVER, float(value), 0.6)) <= 66 for value in VALUES]
    assert got.ravel().tolist() == want
