"""The front of networks with so many branches that their settings cannot all be counted.

A Pareto local search (Paquete, Chiarandini and Stuetzle, Pareto Local Optimum Sets in the
Biobjective Traveling Salesman Problem, 2004): the neighbours of settings on the front are counted,
and those that nothing beats join it. A neighbourhood is large, because
:mod:`edgeexit.thresholds.outcomes` counts it in one go: two exits at all values of their grids,
or three at values near theirs, near in steps that grow. It starts from all combinations of any
three exits at spread values with the others switched off. ``benchmarks/threshold_search.py`` shows
how far from the exact front it ends where both can run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeexit.thresholds.front import NO_COST, Found, unbeaten
from edgeexit.thresholds.outcomes import Place, SearchSpace, count_outcomes
from edgeexit.thresholds.worst_path import allowed_settings

NEIGHBOURHOODS = 4_000
"""So many are counted at most: some 15 s for 50,000 samples."""
TURN = 6  # of them are counted around one setting before it is another's turn
MEMBERS = 8  # of the front have their turns before it is looked at again, spread over its cost
SPREAD = 20  # values of each exit at the start
GROWTH = 1.4  # from step to step around a value

Index = NDArray[np.intp]
Setting = tuple[int, ...]


def find_front(
    space: SearchSpace, max_path: int | None, progress: Callable[[float], None]
) -> Found:
    """Return the best settings that the search comes upon; the same for the same samples.

    Args:
        space: samples and grids of at least three branch exits.
        max_path: what the worst path may cost, in steps.
        progress: told which fraction of the search is done.
    """
    return _Search(space, max_path).run(progress)


class _Search:
    """The front so far, by number of right answers, and where its neighbours were counted."""

    def __init__(self, space: SearchSpace, max_path: int | None) -> None:
        self.space = space
        self.max_path = max_path
        self.neighbourhoods = [
            *itertools.combinations(range(space.branches), 2),
            *itertools.combinations(range(space.branches), 3),
        ]
        self.random = np.random.default_rng(0)
        self.settings = 0
        self.counted = 0
        self.turns: dict[Setting, list[int]] = {}  # neighbourhoods that were not counted yet
        # the cheapest setting with exactly, and the cost of the cheapest with at least, so many
        self.cost = np.full(space.samples + 1, NO_COST)
        self.at_least = np.full(space.samples + 2, NO_COST)
        self.indices = np.zeros((space.samples + 1, space.branches), np.intp)

    def run(self, progress: Callable[[float], None]) -> Found:
        self._start()
        while self.counted < NEIGHBOURHOODS:
            waiting = self._waiting()
            if not waiting:
                break
            for setting in waiting:
                self._take_turn(setting)
            progress(min(self.counted / NEIGHBOURHOODS, 1))
        progress(1)
        members = self._members()
        return Found(self.indices[members], members, self.cost[members], self.settings)

    def _start(self) -> None:
        grids = self.space.grids
        last = tuple(len(grid) - 1 for grid in grids)  # switched off, where the grid has NEVER
        for free in itertools.combinations(range(len(grids)), 3):
            spread = [_spread(len(grids[exit_])) for exit_ in free]
            self._count(Place(self.space, last), free, spread)

    def _members(self) -> Index:
        """Return the numbers of right answers that are on the front."""
        at_least = self.at_least
        on_front = (self.cost == at_least[:-1]) & (at_least[:-1] < at_least[1:])
        return np.flatnonzero(on_front)

    def _waiting(self) -> list[Setting]:
        """Return settings on the front with neighbours to count, evenly spread over their cost."""
        members = self._members()
        settings = [tuple(map(int, self.indices[member])) for member in members]
        waiting = [
            place
            for place, setting in enumerate(settings)
            if self.turns.get(setting, self.neighbourhoods)
        ]
        if not waiting:
            return []
        cost = self.cost[members[waiting]]
        chosen = np.unique(np.searchsorted(cost, np.linspace(cost[0], cost[-1], MEMBERS)))
        return [settings[waiting[place]] for place in chosen]

    def _take_turn(self, setting: Setting) -> None:
        if setting not in self.turns:
            self.turns[setting] = self.random.permutation(len(self.neighbourhoods)).tolist()
        place = Place(self.space, setting)
        turns = self.turns[setting]
        for number in turns[:TURN]:
            free = self.neighbourhoods[number]
            lengths = [len(self.space.grids[exit_]) for exit_ in free]
            if len(free) == 2:
                values = [np.arange(length) for length in lengths]
            else:
                values = [
                    _near(setting[exit_], length)
                    for exit_, length in zip(free, lengths, strict=True)
                ]
            self._count(place, free, values)
        del turns[:TURN]

    def _count(self, place: Place, free: tuple[int, ...], values: Sequence[Index]) -> None:
        """Count a neighbourhood, and let those join that nothing beats."""
        outcomes = count_outcomes(self.space, place, free, values)
        self.counted += 1
        self.settings += outcomes.cost.size
        correct, cost = outcomes.correct.ravel(), outcomes.cost.ravel()
        if self.max_path is not None:
            cost = np.where(self._allowed(place, free, values), cost, NO_COST)
        better = np.flatnonzero(cost < self.at_least[correct])
        if not len(better):
            return
        chosen = better[unbeaten(correct[better], cost[better], self.space.samples)]
        joining = correct[chosen]
        self.cost[joining] = cost[chosen]
        self.indices[joining] = place.setting
        where = np.unravel_index(chosen, outcomes.cost.shape)
        for exit_, numbers, index in zip(free, values, where, strict=True):
            self.indices[joining, exit_] = numbers[index]
        self.at_least[:-1] = np.minimum(
            self.at_least[:-1], np.minimum.accumulate(self.cost[::-1])[::-1]
        )

    def _allowed(
        self, place: Place, free: tuple[int, ...], values: Sequence[Index]
    ) -> NDArray[np.bool_]:
        grids = self.space.grids
        thresholds = [grid[[value]] for grid, value in zip(grids, place.setting, strict=True)]
        for exit_, numbers in zip(free, values, strict=True):
            thresholds[exit_] = grids[exit_][numbers]
        assert self.max_path is not None
        return allowed_settings(self.space.costs, thresholds, self.max_path).ravel()


def _spread(length: int) -> Index:
    """Return indices from the first to the last, evenly spread."""
    return np.unique(np.linspace(0, length - 1, SPREAD).astype(np.intp))


def _near(value: int, length: int) -> Index:
    """Return the first, the last, and indices around ``value`` in steps that grow."""
    steps, step = [0], 1
    while step < length:
        steps += [step, -step]
        step = max(step + 1, int(step * GROWTH))
    near = np.clip(value + np.array(steps, np.intp), 0, length - 1)
    return np.unique(np.append(near, [0, length - 1]))
