"""The front of accuracy and cost: the settings of thresholds that no other setting dominates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.evaluation.path_costs import PathCosts

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
class Found:
    """The result of a search: the front as indices into the grids.

    Attributes:
        indices: (P, B), one index into the grid of each exit.
        correct: (P,) int64, ascending.
        cost: (P,) int64, ascending, in steps.
        settings: number of settings that were evaluated.
    """

    indices: NDArray[np.intp]
    correct: NDArray[np.int64]
    cost: NDArray[np.int64]
    settings: int


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


def describe_setting(setting: Setting, unit: str) -> str:
    """Return a phrase that describes a setting."""
    thresholds = ", ".join(
        f"{name} {'never' if value == NEVER else value}"
        for name, value in setting.thresholds.items()
    )
    cost = f"{setting.average_cost:,.0f}" if unit == "MACs" else f"{setting.average_cost:.6g}"
    at = thresholds or "no branches"
    return f"accuracy {setting.accuracy:.4f} at {cost} {unit} on average ({at})"
