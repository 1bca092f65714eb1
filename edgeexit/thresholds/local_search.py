"""Local search of the front for networks with too many branches to evaluate all settings.

A Pareto local search (Paquete, Chiarandini and Stuetzle, Pareto Local Optimum Sets in the
Biobjective Traveling Salesman Problem, 2004): the neighbors of settings on the front are evaluated,
and undominated ones join the front. Neighborhoods are large, because
:mod:`edgeexit.thresholds.outcomes` evaluates one at once: two exits at all values of their grids,
or three exits at values around their current ones, in growing steps. The search starts from all
combinations of any three exits at spaced values, with the others switched off.
``benchmarks/threshold_search.py`` shows the distance to the exact front where both can run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeexit.thresholds.front import NO_COST, Front, unbeaten
from edgeexit.thresholds.outcomes import SearchSpace, count_outcomes
from edgeexit.thresholds.worst_path import allowed_settings

NEIGHBORHOODS = 4_000
"""Largest number of neighborhoods to evaluate: about 15 s for 50,000 samples."""
TURN = 6  # neighborhoods of one setting to evaluate before the next setting's turn
MEMBERS = 8  # settings per round, spaced in cost; then the front is read again
SPREAD = 20  # values of each exit at the start
GROWTH = 1.4  # ratio of successive steps around a value

Index = NDArray[np.intp]
Setting = tuple[int, ...]


def find_front(
    space: SearchSpace, max_path: int | None, progress: Callable[[float], None]
) -> Front:
    """Return the best settings found; the search is deterministic.

    Args:
        space: samples and grids of at least three branch exits.
        max_path: largest cost of the worst path, in steps.
        progress: called with the finished fraction of the search.
    """
    return _Search(space, max_path).run(progress)


class _Search:
    """The front so far, by number of correct samples, and the neighborhoods left to evaluate."""

    def __init__(self, space: SearchSpace, max_path: int | None) -> None:
        self.space = space
        self.max_path = max_path
        self.neighborhoods = [
            *itertools.combinations(range(space.branches), 2),
            *itertools.combinations(range(space.branches), 3),
        ]
        self.random = np.random.default_rng(0)
        self.settings = 0
        self.counted = 0
        self.turns: dict[Setting, list[int]] = {}  # neighborhoods left to evaluate
        # by number correct: the lowest cost with exactly that many, and with at least that many
        self.cost = np.full(space.samples + 1, NO_COST)
        self.at_least = np.full(space.samples + 2, NO_COST)
        self.indices = np.zeros((space.samples + 1, space.branches), np.intp)

    def run(self, progress: Callable[[float], None]) -> Front:
        self._start()
        while self.counted < NEIGHBORHOODS:
            waiting = self._waiting()
            if not waiting:
                break
            for setting in waiting:
                self._take_turn(setting)
            progress(min(self.counted / NEIGHBORHOODS, 1))
        progress(1)
        members = self._members()
        indices, cost = self.indices[members], self.cost[members]
        return self.space.front(indices, members, cost, self.settings, exact=False)

    def _start(self) -> None:
        grids = self.space.grids
        last = tuple(len(grid) - 1 for grid in grids)  # switched off if the grid has NEVER
        for free in itertools.combinations(range(len(grids)), 3):
            spread = [_spread(len(grids[exit_])) for exit_ in free]
            self._count(last, free, spread)

    def _members(self) -> Index:
        """Return the numbers of correct samples of the settings on the front."""
        at_least = self.at_least
        on_front = (self.cost == at_least[:-1]) & (at_least[:-1] < at_least[1:])
        return np.flatnonzero(on_front)

    def _waiting(self) -> list[Setting]:
        """Return settings on the front with neighborhoods left, evenly spaced in cost."""
        members = self._members()
        settings = [tuple(map(int, self.indices[member])) for member in members]
        waiting = [
            place
            for place, setting in enumerate(settings)
            if self.turns.get(setting, self.neighborhoods)
        ]
        if not waiting:
            return []
        cost = self.cost[members[waiting]]
        chosen = np.unique(np.searchsorted(cost, np.linspace(cost[0], cost[-1], MEMBERS)))
        return [settings[waiting[place]] for place in chosen]

    def _take_turn(self, setting: Setting) -> None:
        if setting not in self.turns:
            self.turns[setting] = self.random.permutation(len(self.neighborhoods)).tolist()
        turns = self.turns[setting]
        for number in turns[:TURN]:
            free = self.neighborhoods[number]
            lengths = [len(self.space.grids[exit_]) for exit_ in free]
            if len(free) == 2:
                values = [np.arange(length) for length in lengths]
            else:
                values = [
                    _near(setting[exit_], length)
                    for exit_, length in zip(free, lengths, strict=True)
                ]
            self._count(setting, free, values)
        del turns[:TURN]

    def _count(self, setting: Setting, free: tuple[int, ...], values: Sequence[Index]) -> None:
        """Evaluate a neighborhood and add its undominated settings to the front."""
        correct, cost = count_outcomes(self.space, setting, free, values)
        self.counted += 1
        self.settings += cost.size
        if self.max_path is not None:
            cost[~self._allowed(setting, free, values)] = NO_COST
        shape, correct, cost = cost.shape, correct.ravel(), cost.ravel()
        better = np.flatnonzero(cost < self.at_least[correct])
        if not len(better):
            return
        chosen = better[unbeaten(correct[better], cost[better], self.space.samples)]
        joining = correct[chosen]
        self.cost[joining] = cost[chosen]
        self.indices[joining] = setting
        where = np.unravel_index(chosen, shape)
        for exit_, numbers, index in zip(free, values, where, strict=True):
            self.indices[joining, exit_] = numbers[index]
        self.at_least[:-1] = np.minimum(
            self.at_least[:-1], np.minimum.accumulate(self.cost[::-1])[::-1]
        )

    def _allowed(
        self, setting: Setting, free: tuple[int, ...], values: Sequence[Index]
    ) -> NDArray[np.bool_]:
        grids = self.space.grids
        thresholds = [grid[[value]] for grid, value in zip(grids, setting, strict=True)]
        for exit_, numbers in zip(free, values, strict=True):
            thresholds[exit_] = grids[exit_][numbers]
        assert self.max_path is not None
        shape = tuple(map(len, values))
        return allowed_settings(self.space.costs, thresholds, self.max_path).reshape(shape)


def _spread(length: int) -> Index:
    """Return indices from the first to the last, evenly spaced."""
    return np.unique(np.linspace(0, length - 1, SPREAD).astype(np.intp))


def _near(value: int, length: int) -> Index:
    """Return the first index, the last, and those around ``value`` in growing steps."""
    steps, step = [0], 1
    while step < length:
        steps += [step, -step]
        step = max(step + 1, int(step * GROWTH))
    near = np.clip(value + np.array(steps, np.intp), 0, length - 1)
    return np.unique(np.append(near, [0, length - 1]))
