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

import numpy as np
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.thresholds.grids import comparable

Steps = NDArray[np.int64]
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


class Place:
    """A setting of all thresholds, around which some exits are varied.

    Args:
        space: the search space.
        setting: an index into each grid.

    Attributes:
        setting: as it was given.
    """

    def __init__(self, space: SearchSpace, setting: tuple[int, ...]) -> None:
        self.setting = setting
        self._space = space
        # bit m: the sample would leave at exit m; all would leave at the last one
        self._would_leave = np.full(space.samples, 1 << space.branches, np.int64)
        for exit_, (bins, value) in enumerate(zip(space.bins, setting, strict=True)):
            self._would_leave |= (bins > value).astype(np.int64) << exit_

    def leaving(self, free: Sequence[int]) -> Index:
        """Return the exit (N,) at which each sample leaves if none leaves at the free exits."""
        others = self._would_leave & ~sum(1 << exit_ for exit_ in free)
        # the lowest bit is a power of two, whose exponent frexp gives exactly
        lowest: Index = (np.frexp((others & -others).astype(np.float64))[1] - 1).astype(np.intp)
        return lowest

    def paid(self, free: Sequence[int]) -> Steps:
        """Return the cost (B + 1,) of each path, with the free exits switched on."""
        costs = self._space.costs
        is_off = [value == off for value, off in zip(self.setting, self._space.off, strict=True)]
        saved = [
            branch if off and exit_ not in free else 0
            for exit_, (branch, off) in enumerate(
                zip(costs.branches, [*is_off, False], strict=True)
            )
        ]
        return np.array(costs.paths, np.int64) - np.cumsum(np.array(saved, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Outcomes of settings: arrays with one axis per free exit.

    Attributes:
        correct: int32, number of samples that leave with the right answer.
        cost: int64, total cost of all samples, in integer steps of the costs.
    """

    correct: NDArray[np.int32]
    cost: Steps


def count_outcomes(
    space: SearchSpace, place: Place, free: Sequence[int], values: Sequence[Index]
) -> Outcomes:
    """Return the outcome of every combination of ``values`` of the free exits.

    Args:
        space: the search space.
        place: the setting of the other exits.
        free: numbers of the free exits, ascending; if empty, the arrays have no axes.
        values: per free exit, ascending indices into its grid.
    """
    if not free:
        ends, paid = place.leaving(free), place.paid(free)
        right = space.correct[ends, np.arange(space.samples)].sum()
        return Outcomes(np.array(right, np.int32), np.array(paid[ends].sum()))
    count = _Count(space, place, free, values)
    for axis in range(len(free)):
        count.switch_off(axis)
        count.go_past(axis)
    return count.outcomes


class _Count:
    """Samples that pass the free exits so far, and the outcomes if they left at the last of them.

    Samples that leave at a fixed exit before the first free one are counted at the start. Samples
    that leave at a fixed exit in between count as passing the later free exits at any threshold.
    """

    def __init__(
        self, space: SearchSpace, place: Place, free: Sequence[int], values: Sequence[Index]
    ) -> None:
        self.space, self.free, self.values = space, free, values
        self.paid = place.paid(free)
        ends = place.leaving(free)
        (coming,) = np.nonzero(ends > free[0])
        (gone,) = np.nonzero(ends < free[0])
        self.rest = ends[coming]  # exits of the samples if they pass all free exits
        self.samples = coming
        self.bins: list[Index] = []  # of the free exits passed
        right = space.correct[ends[gone], gone].sum() + space.correct[free[0]][coming].sum()
        cost = self.paid[ends[gone]].sum() + len(coming) * self.paid[free[0]]
        shape = tuple(map(len, values))
        self.outcomes = Outcomes(np.full(shape, right, np.int32), np.full(shape, cost, np.int64))

    def switch_off(self, axis: int) -> None:
        """Subtract a branch's cost where its exit is off, for all samples that reach it."""
        exit_ = self.free[axis]
        off = self.space.off[exit_]
        if off is None or self.values[axis][-1] != off:
            return
        there = self.rest > exit_
        coming = self._cumulated([bins[there] for bins in self.bins], int(there.sum()))
        where: tuple[slice | int, ...] = (*[slice(None)] * axis, -1)
        saved = coming * self.space.costs.branches[exit_]
        self.outcomes.cost[where] -= _spread(saved, len(self.values) - 1)

    def go_past(self, axis: int) -> None:
        """Correct the outcomes for samples that pass a free exit, to the next or their last one."""
        exit_ = self.free[axis]
        self._reach(axis)
        here = self.space.correct[exit_][self.samples]
        axes = len(self.values)
        if axis + 1 < axes:
            then = self.space.correct[self.free[axis + 1]][self.samples]
            more = int(self.paid[self.free[axis + 1]] - self.paid[exit_])
            cost = self._cumulated(self.bins, len(self.samples)) * more
        else:
            then = self.space.correct[self.rest, self.samples]
            cost = self._cumulated_costs(self.paid[self.rest] - self.paid[exit_])
        right = self._cumulated(self.bins, len(self.samples), then - here)
        self.outcomes.correct[...] += _spread(right, axes).astype(np.int32)
        self.outcomes.cost[...] += _spread(cost, axes)

    def _reach(self, axis: int) -> None:
        """Add the bins of an exit; drop the samples that leave there at all of the values."""
        exit_, values = self.free[axis], self.values[axis]
        chosen = np.searchsorted(values, np.arange(len(self.space.grids[exit_]) + 1), side="left")
        bins: Index = chosen[self.space.bins[exit_][self.samples]]
        bins = np.where(self.rest > exit_, bins, 0)  # the others left before: they pass
        self.bins.append(bins)
        stays = bins < len(values)
        if not stays.all():
            self.bins = [bins[stays] for bins in self.bins]
            self.samples, self.rest = self.samples[stays], self.rest[stays]

    def _cumulated(
        self, bins: Sequence[Index], count: int, weights: NDArray[np.int8] | None = None
    ) -> Index:
        """Sum over ``count`` samples with bins[0] <= t_1, ..., bins[-1] <= t_f, for every t."""
        if not bins:
            return np.array(count)
        # sums up to the number of samples are exact as float64 too
        shape = tuple(map(len, self.values[: len(bins)]))
        sums = np.bincount(_flat(bins, shape), weights, math.prod(shape)).astype(np.int64)
        return _cumulate(sums.reshape(shape))

    def _cumulated_costs(self, weights: Steps) -> Steps:
        """Sum ``weights`` of the remaining samples in the same way, exactly for any values."""
        shape = tuple(map(len, self.values))
        flat = _flat(self.bins, shape)
        if len(weights) and int(np.abs(weights).max()) * len(weights) >= EXACT_IN_FLOAT64:
            sums = np.zeros(math.prod(shape), np.int64)
            np.add.at(sums, flat, weights)
        else:
            sums = np.bincount(flat, weights, math.prod(shape)).astype(np.int64)
        return _cumulate(sums.reshape(shape))


def _spread(values: Index, axes: int) -> Index:
    """Append axes of length 1 until there are ``axes``."""
    return values.reshape(values.shape + (1,) * (axes - values.ndim))


def _flat(bins: Sequence[Index], shape: tuple[int, ...]) -> Index:
    flat = bins[0].astype(np.intp)
    for more, length in zip(bins[1:], shape[1:], strict=True):
        flat = flat * length + more
    return flat


def _cumulate(sums: Index) -> Index:
    for axis in range(sums.ndim):
        np.cumsum(sums, axis=axis, out=sums)
    return sums
