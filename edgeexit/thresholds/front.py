"""The front of accuracy and cost: the settings of thresholds that no other setting dominates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeexit.evaluation.adaptive import sample_outcomes
from edgeexit.evaluation.path_costs import MACS, PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.files import write_csv

NO_COST = np.iinfo(np.int64).max
"""The cost of settings that are not allowed."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Thresholds by exit name, with their accuracy and cost on the searched samples.

    ``accuracy`` is a fraction from 0 to 1; ``average_cost`` is Eq. 5 in the unit of the costs.
    """

    thresholds: dict[str, float]
    accuracy: float
    average_cost: float


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """P settings, from the cheapest to the most accurate, of B thresholds on N samples.

    Each is the cheapest of its accuracy, and every more accurate one costs more.

    Attributes:
        costs: costs of the paths, in steps.
        thresholds: (P, B) float32.
        correct: (P,) int64, number of samples that leave with the correct label, ascending.
        cost: (P,) int64, total over all samples in steps, ascending.
        samples: N.
        backbone_correct: number of samples that the final exit labels correctly.
        settings: number of settings that were evaluated.
        exact: whether these were all combinations of the grids' values.
    """

    costs: PathCosts
    thresholds: NDArray[np.float32]
    correct: NDArray[np.int64]
    cost: NDArray[np.int64]
    samples: int
    backbone_correct: int
    settings: int
    exact: bool

    def __len__(self) -> int:
        return len(self.cost)

    def __iter__(self) -> Iterator[Setting]:
        return map(self.setting, range(len(self)))

    def setting(self, index: int) -> Setting:
        """Return the setting at ``index``."""
        values = zip(self.costs.exit_names[:-1], self.thresholds[index], strict=True)
        return Setting(
            # the shortest decimal of this float32, so that the printed value is the one compared
            {name: float(str(value)) for name, value in values},
            int(self.correct[index]) / self.samples,
            int(self.cost[index]) / self.samples / self.costs.steps,
        )


def unbeaten(correct: NDArray[np.int32], cost: NDArray[np.int64], samples: int) -> NDArray[np.intp]:
    """Return the flat indices of undominated settings, by ascending ``correct`` and ``cost``.

    Of several that are equal in both, the last is returned. :data:`NO_COST` is always dominated.
    """
    correct, cost = correct.ravel(), cost.ravel()
    lowest = np.full(samples + 2, NO_COST)  # by number correct, with one extra entry
    np.minimum.at(lowest, correct, cost)
    lowest_above = np.minimum.accumulate(lowest[::-1])[::-1][1:]
    on_front = lowest[:-1] < lowest_above
    members = np.flatnonzero(on_front[correct] & (cost == lowest[correct]))
    chosen = np.full(samples + 1, -1)
    np.maximum.at(chosen, correct[members], members)
    found: NDArray[np.intp] = chosen[chosen >= 0]
    return found


def front_by_split(front: Front, test: ExitPredictions) -> dict[str, list[Setting]]:
    """Return the front's settings on ``val``, where they were searched, and on ``test``."""
    on_test = []
    for setting in front:
        correct, paid = sample_outcomes(test, setting.thresholds, front.costs)
        on_test.append(Setting(setting.thresholds, float(correct.mean()), float(paid.mean())))
    return {"val": list(front), "test": on_test}


def spread_points(front: Front, count: int) -> list[int]:
    """Return up to ``count`` indices into the front, evenly spaced in cost, both ends included."""
    wanted = np.linspace(front.cost[0], front.cost[-1], count)
    nearest = np.abs(front.cost[:, None] - wanted).argmin(axis=0)
    return [int(place) for place in np.unique(nearest)]


def write_front(path: Path, front: Front, by_split: Mapping[str, Sequence[Setting]]) -> None:
    """Write one line of CSV per setting, from the cheapest to the most accurate, atomically.

    A threshold of 2 means that the exit is switched off.
    """
    unit = "macs" if front.costs.unit == MACS else front.costs.unit  # keeps case: mJ is not MJ
    columns = [f"{name}_threshold" for name in front.costs.exit_names[:-1]]
    for split in by_split:
        columns += [f"{split}_accuracy", f"{split}_average_{unit}"]
    rows = []
    for settings in zip(*by_split.values(), strict=True):
        row = [*settings[0].thresholds.values()]
        for setting in settings:
            row += [setting.accuracy, setting.average_cost]
        rows.append(row)
    write_csv(path, columns, rows)
