"""The most expensive path that a sample may take at a setting, which a deadline must allow for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.evaluation.path_costs import PathCosts

OPEN, CLOSED, OFF = range(3)
"""An exit where some samples may leave; where all leave; or that is switched off and not run."""


def worst_path(costs: PathCosts, thresholds: Sequence[float]) -> int:
    """Return the cost of the most expensive path that samples can take, in steps.

    A sample may continue past an exit unless its threshold is 0, at which all samples leave.

    Args:
        costs: costs of the paths.
        thresholds: threshold of each branch exit in order.
    """
    return _worst(costs, _kinds(np.array(thresholds, np.float32)))


def allowed_settings(
    costs: PathCosts, thresholds: Sequence[NDArray[np.float32]], max_path: int
) -> NDArray[np.bool_]:
    """Return which combinations of threshold values keep the worst path within ``max_path``.

    Args:
        costs: costs of the paths.
        thresholds: values to combine for each branch exit; one value if it is fixed.
        max_path: limit in steps.

    Returns:
        An array with one axis per branch exit.
    """
    kinds = [_kinds(values) for values in thresholds]
    within = np.zeros((3,) * len(kinds), np.bool_)
    for combination in itertools.product(*map(set, kinds)):
        within[combination] = _worst(costs, combination) <= max_path
    allowed: NDArray[np.bool_] = within[np.ix_(*kinds)] if kinds else within
    return allowed


def least_worst_path(costs: PathCosts, thresholds: Sequence[NDArray[np.float32]]) -> int:
    """Return the lowest possible cost of the worst path, in steps; the arguments are as above."""
    kinds = [_kinds(values) for values in thresholds]
    cheapest = [OFF if OFF in present else OPEN for present in kinds]
    ends = [exit_ for exit_, present in enumerate(kinds) if CLOSED in present]
    tried = [cheapest, *([*cheapest[:end], CLOSED, *cheapest[end + 1 :]] for end in ends)]
    return min(_worst(costs, combination) for combination in tried)


def _kinds(values: NDArray[np.float32]) -> list[int]:
    return [OFF if value == NEVER else CLOSED if value == 0 else OPEN for value in values.tolist()]


def _worst(costs: PathCosts, kinds: Sequence[int]) -> int:
    paid, worst = 0, 0
    for stage, branch, kind in zip(costs.stages, costs.branches, [*kinds, CLOSED], strict=True):
        paid += stage + (0 if kind == OFF else branch)
        if kind != OFF:
            worst = max(worst, paid)
        if kind == CLOSED:
            break
    return worst
