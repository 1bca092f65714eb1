"""Correct predictions and cost of many settings at once, without evaluating each.

Some exits are *free*, the thresholds of the others are fixed. A setting's outcome depends on a
sample only through the *bins* b_f of its confidences at the free exits: the number of threshold
values that the confidence reaches. At the index t_f the sample leaves at exit f iff b_f > t_f, so
it passes the free exits up to f iff b_1 <= t_1, ..., b_f <= t_f: a cumulative histogram. Assume
first that all samples leave at the first free exit, then correct this for the samples that pass
it, then for those that pass the second, and so on. With c_f = 1 where exit f is right, p_f the
cost of its path, and r the exit of a sample that passes all free exits::

    correct(t) = sum c_1 + sum over f of the sum of (c_{f+1} - c_f) over samples that pass f
    cost(t)    = sum p_1 + sum over f of the sum of (p_{f+1} - p_f) over samples that pass f

with c_{F+1} = c_r and p_{F+1} = p_r. The f-th term is an f-dimensional cumulative histogram. If an
exit's threshold is NEVER, samples that reach it do not pay for its branch: one more histogram.
With all exits free, this counts every possible setting. All arithmetic is on integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.thresholds.front import Front
from edgeexit.thresholds.grids import comparable

Index = NDArray[np.intp]

EXACT_IN_FLOAT64 = 2**53
"""Integer sums below it are exact in float64, in which numpy sums several times faster."""


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """Samples and threshold values of a search, with B branch exits and N samples.

    Attributes:
        predictions: predictions of all B + 1 exits.
        costs: costs of their paths.
        grids: threshold values per branch exit, float32, ascending.
    """

    predictions: ExitPredictions
    costs: PathCosts
    grids: tuple[NDArray[np.float32], ...]

    @cached_property
    def bins(self) -> NDArray[np.int32]:
        """(B, N): how many values of its grid each confidence reaches."""
        confidences = comparable(self.predictions.confidences[:-1])
        bins = [
            # side="right": a confidence equal to a grid value reaches it and leaves there
            np.searchsorted(grid, values, side="right").astype(np.int32)
            for grid, values in zip(self.grids, confidences, strict=True)
        ]
        return np.stack(bins) if bins else np.empty((0, self.samples), np.int32)

    @cached_property
    def correct(self) -> NDArray[np.int8]:
        """(B + 1, N): 1 where an exit is right."""
        return self.predictions.correct.astype(np.int8)

    @cached_property
    def off(self) -> tuple[int | None, ...]:
        """Per grid, the index of NEVER, which switches the exit off; None without it."""
        return tuple(len(grid) - 1 if grid[-1] == NEVER else None for grid in self.grids)

    @property
    def branches(self) -> int:
        """Number of branch exits, B."""
        return len(self.grids)

    @property
    def samples(self) -> int:
        """Number of samples, N."""
        return len(self.predictions.targets)

    def front(
        self,
        indices: Index,
        correct: NDArray[np.int64],
        cost: NDArray[np.int64],
        settings: int,
        exact: bool,
    ) -> Front:
        """Return the front of these settings, (P, B) indices into the grids."""
        thresholds = np.empty(indices.shape, np.float32)
        for exit_, grid in enumerate(self.grids):
            thresholds[:, exit_] = grid[indices[:, exit_]]
        backbone_correct = int(self.predictions.correct[-1].sum())
        return Front(
            self.costs, thresholds, correct, cost, self.samples, backbone_correct, settings, exact
        )


def count_outcomes(
    space: SearchSpace, setting: Sequence[int], free: Sequence[int], values: Sequence[Index]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the outcome of every combination of ``values`` of the free exits.

    Args:
        space: the search space.
        setting: an index into each grid, for the exits that are not free.
        free: numbers of the free exits, ascending; if empty, the arrays have no axes.
        values: per free exit, ascending indices into its grid.

    Returns:
        Two arrays with one axis per free exit: the number of samples that leave with the right
        answer, and the total cost of all samples in integer steps of the costs.
    """
    shape = tuple(map(len, values))
    last, paid = _last_exits(space, setting, free), _paid(space, setting, free)
    samples = np.arange(space.samples)
    following = [*free, space.branches]
    first = np.minimum(following[0], last)
    correct = np.full(shape, space.correct[first, samples].sum(), np.int32)
    cost = np.full(shape, paid[first].sum())
    flat = np.zeros(len(samples), np.intp)  # the bins of all exits passed, as one index
    for axis, exit_ in enumerate(free):
        comes = last > exit_  # the others left at a fixed exit before
        samples, last, flat = samples[comes], last[comes], flat[comes]
        if values[axis][-1] == space.off[exit_]:
            branch = np.full(len(samples), space.costs.branches[exit_])
            where: tuple[slice | int, ...] = (*[slice(None)] * axis, -1)
            cost[where] -= _spread(_cumulated(flat, branch, shape[:axis]), len(shape) - 1)
        # samples that stop there at all of the values are done; the others go to the next exit
        grid = np.arange(len(space.grids[exit_]) + 1)
        bins = np.searchsorted(values[axis], grid)[space.bins[exit_][samples]]
        passes = bins < shape[axis]
        samples, last = samples[passes], last[passes]
        flat = flat[passes] * shape[axis] + bins[passes]
        then = np.minimum(following[axis + 1], last)
        right = space.correct[then, samples] - space.correct[exit_, samples]
        more = paid[then] - paid[exit_]
        correct += _spread(_cumulated(flat, right, shape[: axis + 1]), len(shape))
        cost += _spread(_cumulated(flat, more, shape[: axis + 1]), len(shape))
    return correct, cost


def _last_exits(space: SearchSpace, setting: Sequence[int], free: Sequence[int]) -> Index:
    """Return the exit (N,) at which each sample leaves if none leaves at the free exits."""
    last = np.full(space.samples, space.branches, np.intp)
    for exit_ in reversed(range(space.branches)):
        if exit_ not in free:
            np.putmask(last, space.bins[exit_] > setting[exit_], exit_)
    return last


def _paid(space: SearchSpace, setting: Sequence[int], free: Sequence[int]) -> NDArray[np.int64]:
    """Return the cost (B + 1,) of each path, with the free exits switched on."""
    saved = np.array(space.costs.branches, np.int64)
    for exit_, off in enumerate([*space.off, None]):
        if exit_ in free or off is None or setting[exit_] != off:
            saved[exit_] = 0
    return np.array(space.costs.paths, np.int64) - np.cumsum(saved)


def _cumulated(
    flat: Index, weights: NDArray[np.integer[Any]], shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Sum ``weights`` over samples with bins[0] <= t_1, ..., bins[-1] <= t_f, for every t."""
    size = math.prod(shape)
    if len(flat) and int(np.abs(weights).max()) * len(flat) >= EXACT_IN_FLOAT64:
        sums = np.zeros(size, np.int64)
        np.add.at(sums, flat, weights)
    else:
        sums = np.bincount(flat, weights, size).astype(np.int64)
    summed: NDArray[np.int64] = sums.reshape(shape)
    for axis in range(len(shape)):
        np.cumsum(summed, axis=axis, out=summed)
    return summed


def _spread(values: NDArray[np.int64], axes: int) -> NDArray[np.int64]:
    """Append axes of length 1 until there are ``axes``."""
    return values.reshape(values.shape + (1,) * (axes - values.ndim))
