"""Every setting of the thresholds on a grid, counted exactly, without trying one after another.

With T_m grid values per exit there are T_1 x T_2 x T_3 settings. A setting's outcome depends on a
sample only through the *bins* b_m of its confidences: the number of grid values that the confidence
at exit m reaches. At the grid index t_m the sample leaves at exit m iff b_m > t_m, so it goes on
past exit m iff b_1 <= t_1, ..., b_m <= t_m: a cumulative histogram. Let everyone leave at exit 1
and correct that for those who go on past it, then past exit 2, and so on; with c_m = 1 where exit
m is right and p_m the path cost of exit m, sums over samples are::

    correct(t) = sum c_1 + sum over m of the sum of (c_{m+1} - c_m) over those who go on past m
    cost(t)    = N p_1   + sum over m of (p_{m+1} - p_m) x number of those who go on past m

The m-th term is an m-dimensional cumulative histogram. All of it is integer arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.errors import TuningError
from edgeexit.evaluation.predictions import ExitPredictions

__all__ = [
    "DEFAULT_GRID_SIZES",
    "MIN_GRID_SIZE",
    "SearchResult",
    "Setting",
    "confidence_grids",
    "search_thresholds",
]

MAX_BRANCHES = 3
MAX_SETTINGS = 2**25  # about 1 GB with the temporary arrays
MIN_GRID_SIZE = 102  # 0.00, 0.01, ..., 1.00 and NEVER
DEFAULT_GRID_SIZES = {1: 10_000, 2: 2_000, 3: 200}
"""Most grid values per exit by the number of branches: up to 8 million settings for three."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Thresholds by exit name, and what they give on the samples that were searched.

    ``accuracy`` is a fraction from 0 to 1; ``average_macs`` is Eq. 5.
    """

    thresholds: dict[str, float]
    accuracy: float
    average_macs: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The outcome of every setting, in arrays of shape (T_1, ..., T_B) for B branches.

    Attributes:
        exit_names: names of the B branch exits, in order.
        grids: the float32 threshold values of each exit, ascending.
        correct: int32, number of samples that leave with the right answer.
        cost: int64, MACs of all samples together: N times Eq. 5.
        samples: number of samples, N.
        backbone_correct: number that the final exit alone gets right.
    """

    exit_names: tuple[str, ...]
    grids: tuple[NDArray[np.float32], ...]
    correct: NDArray[np.int32]
    cost: NDArray[np.int64]
    samples: int
    backbone_correct: int

    def setting(self, flat_index: int) -> Setting:
        """Return the setting at an index into the flattened arrays."""
        index = np.unravel_index(flat_index, self.correct.shape)
        chosen = zip(self.exit_names, self.grids, index, strict=True)
        return Setting(
            # the shortest decimal that is this float32: what the user reads is what is compared
            {name: float(str(grid[position])) for name, grid, position in chosen},
            int(self.correct[index]) / self.samples,
            int(self.cost[index]) / self.samples,
        )


def confidence_grids(
    predictions: ExitPredictions, grid_size: int | None = None
) -> tuple[NDArray[np.float32], ...]:
    """Return a grid of threshold values for each branch exit, fitted to its confidences.

    A grid holds 0.00, 0.01, ..., 1.00, :data:`NEVER`, and quantiles of the confidences: a network
    that is sure of almost everything has nearly all of them above 0.99. A quantile is put halfway
    between two samples, so that rounding in an exported graph does not move one across it.

    Args:
        predictions: of the samples that the thresholds will be chosen on.
        grid_size: most values per exit, at least :data:`MIN_GRID_SIZE`; left out, what
            :data:`DEFAULT_GRID_SIZES` gives for the number of branches.

    Raises:
        TuningError: more than three branches, or too small a grid.
    """
    branches = len(predictions.exit_names) - 1
    _check_branches(branches)
    size = DEFAULT_GRID_SIZES.get(branches, MIN_GRID_SIZE) if grid_size is None else grid_size
    if size < MIN_GRID_SIZE:
        raise TuningError(
            f"expected a grid of at least {MIN_GRID_SIZE} values per exit "
            f"(0.00 to 1.00 by 0.01, and never), got {size}"
        )
    fixed = np.append(np.arange(101) / 100, NEVER)
    return tuple(
        np.union1d(fixed.astype(np.float32), _quantiles(confidences, size - len(fixed)))
        for confidences in _comparable(predictions.confidences[:-1])
    )


def search_thresholds(
    predictions: ExitPredictions,
    path_macs: Mapping[str, int],
    grids: Sequence[NDArray[np.float32]],
) -> SearchResult:
    """Count correct answers and cost of every setting of the thresholds on ``grids``.

    Args:
        predictions: of all exits for N samples.
        path_macs: what a sample that leaves at each exit has paid, the bracket of Eq. 5.
        grids: per branch exit its threshold values, strictly ascending, float32.

    Raises:
        TuningError: more than three branches, or more settings than memory is meant for.
    """
    names, samples = predictions.exit_names, len(predictions.targets)
    shape = tuple(len(grid) for grid in grids)
    _check_grids(names[:-1], grids)
    correct = predictions.correct.astype(np.int32)  # (M, N)
    bins = np.stack(
        [
            # side="right": a confidence equal to a grid value reaches it and leaves there
            np.searchsorted(grid, confidences, side="right")
            for grid, confidences in zip(
                grids, _comparable(predictions.confidences[:-1]), strict=True
            )
        ]
        or [np.empty(samples, np.intp)]
    )
    paths = [path_macs[name] for name in names]
    total_correct = np.full(shape, correct[0].sum(), np.int32)
    total_cost = np.full(shape, samples * paths[0], np.int64)
    for m in range(1, len(names)):
        # the m-dimensional histograms are the same for all thresholds of the later exits
        spread = (..., *[np.newaxis] * (len(shape) - m))
        gained = _cumulative(bins[:m], correct[m] - correct[m - 1], shape[:m])
        total_correct += gained[spread]
        del gained
        going_on = _cumulative(bins[:m], np.ones(samples, np.int32), shape[:m])
        total_cost += (going_on.astype(np.int64) * (paths[m] - paths[m - 1]))[spread]
    backbone_correct = int(correct[-1].sum())
    return SearchResult(
        names[:-1], tuple(grids), total_correct, total_cost, samples, backbone_correct
    )


def _cumulative(
    bins: NDArray[np.intp], weights: NDArray[np.int32], shape: tuple[int, ...]
) -> NDArray[np.int32]:
    """Sum ``weights`` (N,) over samples with bins[0] <= t_1, ..., bins[m-1] <= t_m, for every t."""
    sums = np.zeros(shape, np.int32)
    inside = (bins < np.array(shape)[:, None]).all(axis=0)  # the others leave at any setting
    np.add.at(sums, tuple(bins[:, inside]), weights[inside])
    for axis in range(len(shape)):
        np.cumsum(sums, axis=axis, out=sums)
    return sums


def _comparable(confidences: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace NaN, which reaches no threshold, by a number that reaches none."""
    return np.nan_to_num(confidences, nan=-1.0)


def _quantiles(confidences: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return up to ``count`` values halfway between neighbours of the sorted confidences."""
    ordered = np.sort(confidences).astype(np.float64)
    samples = len(ordered)
    ranks = np.unique(np.linspace(0, samples, count + 2)[1:-1].astype(np.intp))
    ranks = ranks[(ranks > 0) & (ranks < samples)]
    middles = (ordered[ranks - 1] + ordered[ranks]) / 2
    return middles[middles >= 0].astype(np.float32)


def _check_branches(branches: int) -> None:
    if branches > MAX_BRANCHES:
        raise TuningError(
            f"exact threshold search takes networks of up to {MAX_BRANCHES} branches, this one has "
            f"{branches}: set its thresholds by hand"
        )


def _check_grids(branches: tuple[str, ...], grids: Sequence[NDArray[np.float32]]) -> None:
    _check_branches(len(branches))
    if len(grids) != len(branches):
        raise ValueError(f"expected a grid for each of {branches}, got {len(grids)}")
    for name, grid in zip(branches, grids, strict=True):
        if grid.dtype != np.float32 or not len(grid) or (np.diff(grid) <= 0).any():
            raise ValueError(f"grid of {name}: expected ascending float32 values, got {grid}")
    settings = math.prod(len(grid) for grid in grids)
    if settings > MAX_SETTINGS:
        raise TuningError(
            f"grids of {' x '.join(str(len(grid)) for grid in grids)} values make {settings:,} "
            f"settings, more than {MAX_SETTINGS:,}: choose a smaller grid"
        )
