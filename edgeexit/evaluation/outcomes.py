"""Correct answers and cost of many settings at once, without trying one after another.

Some exits are *free*, the thresholds of the others are fixed. A setting's outcome depends on a
sample only through the *bins* b_f of its confidences at the free exits: the number of threshold
values that the confidence reaches. At the index t_f the sample leaves at exit f iff b_f > t_f, so
it goes on past the free exits up to f iff b_1 <= t_1, ..., b_f <= t_f: a cumulative histogram. Let
everyone leave at the first free exit and correct that for those who go on past it, then past the
second, and so on. With c_f = 1 where exit f is right, p_f the cost of its path, and r for where a
sample goes that passes all free exits::

    correct(t) = sum c_1 + sum over f of the sum of (c_{f+1} - c_f) over those who go on past f
    cost(t)    = sum p_1 + sum over f of the sum of (p_{f+1} - p_f) over those who go on past f

with c_{F+1} = c_r and p_{F+1} = p_r. The f-th term is an f-dimensional cumulative histogram. Where
an exit's threshold is NEVER, nobody who comes there pays for its branch, which is one more. With
all exits free, this counts every setting there is; all of it is integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.evaluation.grids import comparable
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions

__all__ = ["Outcomes", "Place", "SearchSpace", "count_outcomes"]

Steps = NDArray[np.int64]
Index = NDArray[np.intp]

EXACT_IN_FLOAT64 = 2**53
"""Sums of integers below it are exact as float64, which numpy adds up several times faster."""


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """Samples and threshold values, as the search sees them; B branch exits, N samples.

    Attributes:
        predictions: of all B + 1 exits.
        costs: of their paths.
        grids: of each branch exit its threshold values, float32, ascending.
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
        """Of each grid the index of NEVER, at which the exit is switched off; None without it."""
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
    """A setting of all thresholds, from which some are freed.

    Args:
        space: where it is.
        setting: an index into each grid.

    Attributes:
        setting: that index.
    """

    def __init__(self, space: SearchSpace, setting: tuple[int, ...]) -> None:
        self.setting = setting
        self._space = space
        # bit m: the sample would leave at exit m; the last one lets everyone leave
        self._would_leave = np.full(space.samples, 1 << space.branches, np.int64)
        for exit_, (bins, value) in enumerate(zip(space.bins, setting, strict=True)):
            self._would_leave |= (bins > value).astype(np.int64) << exit_

    def leaving(self, free: Sequence[int]) -> Index:
        """Return the exit (N,) at which each sample leaves where nobody leaves at the free ones."""
        others = self._would_leave & ~sum(1 << exit_ for exit_ in free)
        # the lowest bit is a power of two, whose exponent frexp gives exactly
        lowest: Index = (np.frexp((others & -others).astype(np.float64))[1] - 1).astype(np.intp)
        return lowest

    def paid(self, free: Sequence[int]) -> Steps:
        """Return the cost (B + 1,) of each path; free exits are on."""
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
    """What settings give: arrays with one axis per free exit.

    Attributes:
        correct: int32, number of samples that leave with the right answer.
        cost: int64, of all samples together, in the steps of the costs.
    """

    correct: NDArray[np.int32]
    cost: Steps


def count_outcomes(
    space: SearchSpace, place: Place, free: Sequence[int], values: Sequence[Index]
) -> Outcomes:
    """Return the outcome of every combination of ``values`` of the free exits.

    Args:
        space: the samples.
        place: fixes the other exits.
        free: exits by number, ascending; none of them gives arrays without axes.
        values: of each free exit ascending indices into its grid.
    """
    shape = tuple(map(len, values))
    ends, paid = place.leaving(free), place.paid(free)
    first = free[0] if free else space.branches
    gone = ends < first
    (coming,) = np.nonzero(~gone)
    rest = ends[coming]
    rights = [space.correct[exit_][coming] for exit_ in free]
    rights.append(space.correct[rest, coming])
    settled = int(space.correct[ends[gone], np.flatnonzero(gone)].sum())
    correct = np.full(shape, settled + int(rights[0].sum()), np.int32)
    start = int(paid[ends[gone]].sum())
    start += len(coming) * int(paid[first]) if free else int(paid[rest].sum())
    cost = np.full(shape, start, np.int64)

    if free:
        _switch_off(cost, 0, values, space, free, len(coming))
    bins: list[Index] = []
    for number, exit_ in enumerate(free):
        past = _bins(space, exit_, values[number], coming)
        if number > 0:
            past = np.where(rest > exit_, past, 0)  # the others were gone before: they pass
        bins = [*bins, past]
        stays = past < shape[number]  # who leaves here at any of the values is settled
        if not stays.all():
            bins = [kept[stays] for kept in bins]
            coming, rest = coming[stays], rest[stays]
            rights = [right[stays] for right in rights]
        part = shape[: number + 1]
        spread = (..., *[np.newaxis] * (len(shape) - len(part)))
        gained = rights[number + 1] - rights[number]
        correct += _cumulated(bins, part, gained).astype(np.int32)[spread]
        if number + 1 < len(free):
            passing = _cumulated(bins, part)
            cost += (passing * (paid[free[number + 1]] - paid[exit_]))[spread]
            there = rest > free[number + 1]
            if not there.all():
                passing = _cumulated([kept[there] for kept in bins], part)
            _switch_off(cost, number + 1, values, space, free, passing)
        else:
            cost += _cumulated_costs(bins, part, paid[rest] - paid[exit_])
    return Outcomes(correct, cost)


def _bins(space: SearchSpace, exit_: int, values: Index, samples: Index) -> Index:
    """Return how many of the chosen values each sample's confidence reaches."""
    reached = np.searchsorted(values, np.arange(len(space.grids[exit_]) + 1), side="left")
    chosen: Index = reached[space.bins[exit_][samples]]
    return chosen


def _switch_off(
    cost: Steps,
    axis: int,
    values: Sequence[Index],
    space: SearchSpace,
    free: Sequence[int],
    coming: int | Index,
) -> None:
    """Take back a branch's cost for those who come there, where its exit is switched off."""
    exit_ = free[axis]
    if space.off[exit_] is None or values[axis][-1] != space.off[exit_]:
        return
    saved = np.asarray(coming) * space.costs.branches[exit_]
    switched_off: tuple[slice | int, ...] = (*[slice(None)] * axis, -1)
    cost[switched_off] -= saved.reshape(saved.shape + (1,) * (cost.ndim - axis - 1))


def _cumulated(
    bins: Sequence[Index], shape: tuple[int, ...], weights: NDArray[np.int8] | None = None
) -> Index:
    """Sum over samples with bins[0] <= t_1, ..., bins[-1] <= t_f, for every t."""
    # counts up to the number of samples are exact as float64 too
    sums = np.bincount(_flat(bins, shape), weights, int(np.prod(shape))).astype(np.int64)
    return _cumulate(sums.reshape(shape))


def _cumulated_costs(bins: Sequence[Index], shape: tuple[int, ...], weights: Steps) -> Steps:
    """Sum int64 ``weights`` as :func:`_cumulated` does, exactly, whatever their size."""
    flat, size = _flat(bins, shape), int(np.prod(shape))
    if len(weights) and int(np.abs(weights).max()) * len(weights) >= EXACT_IN_FLOAT64:
        sums = np.zeros(size, np.int64)
        np.add.at(sums, flat, weights)
    else:
        sums = np.bincount(flat, weights, size).astype(np.int64)
    return _cumulate(sums.reshape(shape))


def _flat(bins: Sequence[Index], shape: tuple[int, ...]) -> Index:
    flat = bins[0].astype(np.intp)
    for more, length in zip(bins[1:], shape[1:], strict=True):
        flat = flat * length + more
    return flat


def _cumulate(sums: Index) -> Index:
    for axis in range(sums.ndim):
        np.cumsum(sums, axis=axis, out=sums)
    return sums
