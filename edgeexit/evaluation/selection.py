"""The best setting of the thresholds under a constraint, and the front of all that are best.

Settings that are equally good by what a function asks for are told apart the same way everywhere:
lower cost (or higher accuracy) first, then the highest threshold of the first exit, of the second,
and so on, since a higher threshold is the more careful one on samples not seen yet.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.errors import TuningError
from edgeexit.evaluation.thresholds import SearchResult, Setting

__all__ = [
    "cheapest_with_accuracy",
    "cheapest_within_drop",
    "most_accurate_within_macs",
    "pareto_front",
]


def cheapest_with_accuracy(result: SearchResult, min_accuracy: float) -> Setting:
    """Return the setting of the lowest average cost with at least ``min_accuracy``, 0 to 1.

    Ties: higher accuracy, then higher thresholds.

    Raises:
        TuningError: no setting is as accurate; the message gives the most accurate.
    """
    needed = int(np.searchsorted(_fractions(result.samples), min_accuracy))
    return _cheapest(result, needed, f"an accuracy of {min_accuracy:.4f}")


def cheapest_within_drop(result: SearchResult, max_drop: float) -> Setting:
    """Return the setting of the lowest average cost that loses at most ``max_drop`` accuracy.

    The drop is a fraction of all samples, against the backbone alone. Ties: higher accuracy, then
    higher thresholds.

    Raises:
        TuningError: a negative drop, or no setting within it; the message gives the nearest.
    """
    if not max_drop >= 0:
        raise TuningError(f"expected a drop in accuracy of 0 to 1, got {max_drop}")
    lost = int(np.searchsorted(_fractions(result.samples), max_drop, side="right")) - 1
    backbone = result.backbone_correct / result.samples
    asked = f"the backbone's accuracy of {backbone:.4f} within {max_drop:.4f}"
    return _cheapest(result, result.backbone_correct - lost, asked)


def most_accurate_within_macs(result: SearchResult, max_macs: float) -> Setting:
    """Return the most accurate setting whose average cost (Eq. 5) is at most ``max_macs``.

    Ties: lower cost, then higher thresholds.

    Raises:
        TuningError: every setting costs more; the message gives the cheapest.
    """
    correct, cost = result.correct.ravel(), result.cost.ravel()
    allowed = np.flatnonzero(cost <= math.floor(Fraction(max_macs) * result.samples))
    if not len(allowed):
        lowest = math.ceil(Fraction(int(cost.min()), result.samples))
        nearest = _describe(result.setting(_last(cost == cost.min())))
        raise TuningError(
            f"no thresholds keep the average cost within {max_macs:,.0f} MACs: the lowest is "
            f"{nearest}; allow {lowest:,} or more"
        )
    allowed = allowed[correct[allowed] == correct[allowed].max()]
    allowed = allowed[cost[allowed] == cost[allowed].min()]
    return result.setting(int(allowed[-1]))


def pareto_front(result: SearchResult) -> tuple[Setting, ...]:
    """Return the settings that no other beats, from the cheapest to the most accurate.

    Each is the cheapest of its accuracy, and every more accurate one costs more. Ties: higher
    thresholds.
    """
    correct, cost = result.correct.ravel(), result.cost.ravel()
    unreached = np.iinfo(np.int64).max
    lowest = np.full(result.samples + 2, unreached)  # by number correct; one more than there is
    np.minimum.at(lowest, correct, cost)
    lowest_above = np.minimum.accumulate(lowest[::-1])[::-1][1:]
    on_front = lowest[:-1] < lowest_above
    members = np.flatnonzero(on_front[correct] & (cost == lowest[correct]))
    chosen = np.full(result.samples + 1, -1)
    np.maximum.at(chosen, correct[members], members)
    return tuple(result.setting(int(index)) for index in chosen[chosen >= 0])


def _cheapest(result: SearchResult, needed: int, asked: str) -> Setting:
    correct, cost = result.correct.ravel(), result.cost.ravel()
    allowed = np.flatnonzero(correct >= needed)
    if not len(allowed):
        highest = int(correct.max())
        cheapest = cost[correct == highest].min()
        nearest = _describe(result.setting(_last((correct == highest) & (cost == cheapest))))
        reachable = highest * 10_000 // result.samples / 10_000  # rounded down: it can be reached
        raise TuningError(
            f"no thresholds reach {asked} on these {result.samples} samples: the nearest is "
            f"{nearest}; ask for {reachable:.4f} or less"
        )
    allowed = allowed[cost[allowed] == cost[allowed].min()]
    allowed = allowed[correct[allowed] == correct[allowed].max()]
    return result.setting(int(allowed[-1]))


def _fractions(samples: int) -> NDArray[np.float64]:
    """Return every accuracy there is, k/N for k = 0 to N: what is reported is what is compared."""
    return np.arange(samples + 1) / samples


def _last(members: NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(members)[-1])


def _describe(setting: Setting) -> str:
    thresholds = ", ".join(
        f"{name} {'never' if value == NEVER else value}"
        for name, value in setting.thresholds.items()
    )
    return (
        f"accuracy {setting.accuracy:.4f} at {setting.average_macs:,.0f} MACs on average "
        f"({thresholds or 'no branches'})"
    )
