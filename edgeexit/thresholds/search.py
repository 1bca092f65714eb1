"""Search for thresholds: exact for up to three branches, local for more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from edgeexit.errors import TuningError
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.thresholds.front import NO_COST, Front, unbeaten
from edgeexit.thresholds.grids import confidence_grids
from edgeexit.thresholds.local_search import find_front
from edgeexit.thresholds.outcomes import SearchSpace, count_outcomes
from edgeexit.thresholds.worst_path import allowed_settings, least_worst_path

MAX_EXACT_BRANCHES = 3
MAX_SETTINGS = 2**25  # about 1 GB with the temporary arrays

Grids = Sequence[NDArray[np.float32]]


def search_thresholds(
    predictions: ExitPredictions,
    costs: PathCosts,
    grids: Grids | None = None,
    *,
    max_path_cost: float | None = None,
    progress: Callable[[float], None] = lambda done: None,
    most_exact: int = MAX_EXACT_BRANCHES,
) -> Front:
    """Return the front of accuracy against average cost over settings of the thresholds.

    For up to ``most_exact`` branches all settings are evaluated, see
    :mod:`edgeexit.thresholds.outcomes`. For more branches there are too many, and a local search is
    used, see :mod:`edgeexit.thresholds.local_search`. Its settings have exact outcomes, but better
    settings may exist.

    Args:
        predictions: predictions of all exits for N samples.
        costs: costs of the paths to the exits.
        grids: threshold values of each branch exit, strictly ascending, float32; by default
            :func:`confidence_grids`.
        max_path_cost: excludes settings with a path that costs more, in the unit of ``costs``.
        progress: called with the finished fraction of a local search, 0 to 1.
        most_exact: largest number of branches for which all settings are evaluated.

    Raises:
        TuningError: there are too many settings for memory, or all of them cost too much.
    """
    if costs.exit_names != predictions.exit_names:
        raise ValueError(f"predictions of {predictions.exit_names}, costs of {costs.exit_names}")
    grids = tuple(confidence_grids(predictions) if grids is None else grids)
    _check_grids(predictions.exit_names[:-1], grids)
    max_path = None if max_path_cost is None else _max_path(costs, grids, max_path_cost)
    space = SearchSpace(predictions, costs, grids)
    if len(grids) <= most_exact:
        return _count_all(space, max_path)
    return find_front(space, max_path, progress)


def _count_all(space: SearchSpace, max_path: int | None) -> Front:
    """Evaluate all combinations of the grids' values."""
    shape = tuple(map(len, space.grids))
    settings = math.prod(shape)
    if settings > MAX_SETTINGS:
        raise TuningError(
            f"grids of {' x '.join(map(str, shape))} values make {settings:,} settings, more than "
            f"{MAX_SETTINGS:,}: choose a smaller grid"
        )
    everywhere = [np.arange(length) for length in shape]
    correct, cost = count_outcomes(space, [0] * len(shape), range(len(shape)), everywhere)
    if max_path is not None:
        cost[~allowed_settings(space.costs, space.grids, max_path)] = NO_COST
    chosen = unbeaten(correct, cost, space.samples)
    indices = np.stack(np.unravel_index(chosen, shape), 1) if shape else np.empty((1, 0), np.intp)
    found = correct.ravel()[chosen].astype(np.int64), cost.ravel()[chosen]
    return space.front(indices, *found, settings, exact=True)


def _max_path(costs: PathCosts, grids: Grids, max_path_cost: float) -> int:
    """Return the limit in steps; raise if no setting keeps to it."""
    limit = math.floor(Fraction(max_path_cost) * costs.steps)
    least = least_worst_path(costs, grids)
    if least > limit:
        raise TuningError(
            f"no thresholds keep every path within {costs.show(max_path_cost)} {costs.unit}: the "
            f"cheapest network that the exits allow costs {costs.enough(Fraction(least))}; allow "
            "that or more"
        )
    return limit


def _check_grids(branches: tuple[str, ...], grids: Grids) -> None:
    if len(grids) != len(branches):
        raise ValueError(f"expected a grid for each of {branches}, got {len(grids)}")
    for name, grid in zip(branches, grids, strict=True):
        if grid.dtype != np.float32 or not len(grid) or (np.diff(grid) <= 0).any():
            raise ValueError(f"grid of {name}: expected ascending float32 values, got {grid}")
