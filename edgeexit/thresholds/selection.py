"""Choose the best setting on the front within limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.errors import TuningError
from edgeexit.thresholds.front import Front, Setting


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for the thresholds; None means no limit.

    Attributes:
        min_accuracy: fraction from 0 to 1.
        max_drop: drop in accuracy from the plain backbone, as a fraction of all samples.
        max_cost: average cost (Eq. 5) of a sample, in the unit of the costs.
        max_path_cost: cost of the most expensive path that a sample may take, in the same unit;
            enforced by the search.
    """

    min_accuracy: float | None = None
    max_drop: float | None = None
    max_cost: float | None = None
    max_path_cost: float | None = None

    def __post_init__(self) -> None:
        if self.max_drop is not None and not self.max_drop >= 0:
            raise TuningError(f"expected a drop in accuracy of 0 to 1, got {self.max_drop}")

    @property
    def none_given(self) -> bool:
        """Whether there are no limits."""
        return self == Limits()

    @property
    def asks_for_accuracy(self) -> bool:
        """Whether the lowest cost is chosen, and not the highest accuracy."""
        return self.min_accuracy is not None or self.max_drop is not None


def best_setting(front: Front, limits: Limits) -> Setting:
    """Return the best setting within ``limits``.

    With a limit on accuracy, the setting of the lowest average cost is chosen, otherwise the most
    accurate one. After an exact search, ties in both are resolved the same way everywhere: by the
    highest threshold of the first exit, then of the second, and so on, since a higher threshold is
    safer on unseen samples.

    Raises:
        TuningError: no setting keeps to the limits; the message gives the nearest.
    """
    needed = _needed(front, limits)
    affordable = _affordable(front, limits)
    accurate = int(np.searchsorted(front.correct, needed))  # the first that is accurate enough
    cheap = int(np.searchsorted(front.cost, affordable, side="right")) - 1  # the last affordable
    if accurate == len(front):
        raise _not_accurate(front, limits)
    if cheap < 0:
        raise _not_cheap(front, limits)
    if accurate > cheap:
        raise _not_both(front, accurate, cheap)
    return front.setting(accurate if limits.asks_for_accuracy else cheap)


def _needed(front: Front, limits: Limits) -> int:
    """Return the number of samples that must be correct."""
    needed = 0
    if limits.min_accuracy is not None:
        needed = int(np.searchsorted(_fractions(front.samples), limits.min_accuracy))
    if limits.max_drop is not None:
        fractions = _fractions(front.samples)
        lost = int(np.searchsorted(fractions, limits.max_drop, side="right")) - 1
        needed = max(needed, front.backbone_correct - lost)
    return needed


def _affordable(front: Front, limits: Limits) -> int:
    """Return the largest total cost of all samples, in steps."""
    if limits.max_cost is None:
        return int(front.cost[-1])
    return math.floor(Fraction(limits.max_cost) * front.costs.steps * front.samples)


def _fractions(samples: int) -> NDArray[np.float64]:
    """Return all possible accuracies, k/N for k = 0 to N, so that reported values are compared."""
    return np.arange(samples + 1) / samples


def _not_accurate(front: Front, limits: Limits) -> TuningError:
    asked = []
    if limits.min_accuracy is not None:
        asked.append(f"an accuracy of {limits.min_accuracy:.4f}")
    if limits.max_drop is not None:
        backbone = front.backbone_correct / front.samples
        asked.append(f"the backbone's accuracy of {backbone:.4f} within {limits.max_drop:.4f}")
    reachable = int(front.correct[-1]) * 10_000 // front.samples / 10_000  # rounded down
    return TuningError(
        f"no thresholds reach {' and '.join(asked)} on these {front.samples} samples: the nearest "
        f"is {_describe(front, -1)}; ask for {reachable:.4f} or less"
    )


def _not_cheap(front: Front, limits: Limits) -> TuningError:
    assert limits.max_cost is not None
    costs = front.costs
    limit = costs.show(limits.max_cost)
    allow = costs.enough(Fraction(int(front.cost[0]), front.samples))
    return TuningError(
        f"no thresholds keep the average cost within {limit} {costs.unit}: the lowest is "
        f"{_describe(front, 0)}; allow {allow} or more"
    )


def _not_both(front: Front, accurate: int, cheap: int) -> TuningError:
    return TuningError(
        "no thresholds are as accurate as asked for within the average cost: the cheapest that "
        f"are accurate enough have {_describe(front, accurate)}, the most accurate that are cheap "
        f"enough {_describe(front, cheap)}; give up some of either"
    )


def _describe(front: Front, index: int) -> str:
    """Return a phrase that describes a setting."""
    setting, costs = front.setting(index), front.costs
    thresholds = ", ".join(
        f"{name} {'never' if value == NEVER else value}"
        for name, value in setting.thresholds.items()
    )
    cost = costs.show(setting.average_cost)
    at = thresholds or "no branches"
    return f"accuracy {setting.accuracy:.4f} at {cost} {costs.unit} on average ({at})"
