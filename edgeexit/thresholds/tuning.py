"""Thresholds chosen on validation samples, and what they are worth on others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeexit.cost import ExitCosts
from edgeexit.evaluation.adaptive import AdaptiveReport, evaluate_adaptive
from edgeexit.evaluation.bootstrap import ReportIntervals, bootstrap_intervals
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.thresholds.front import Front
from edgeexit.thresholds.grids import confidence_grids
from edgeexit.thresholds.search import search_thresholds
from edgeexit.thresholds.selection import Limits, best_setting

CERTAIN = 3.0
"""Standard deviations that an exit has to be above the last one by."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network whose thresholds are chosen.

    Attributes:
        exits: what its exits cost in MACs.
        costs: what is to be kept low: these MACs, or something that was measured.
        splits: answers by name: first those that thresholds are chosen on, last those that they
            are judged on; ``val`` and ``test``, or one alone.
    """

    exits: ExitCosts
    costs: PathCosts
    splits: dict[str, ExitPredictions]

    @property
    def val(self) -> ExitPredictions:
        """Answers that thresholds are chosen on."""
        return next(iter(self.splits.values()))

    @property
    def test(self) -> ExitPredictions:
        """Answers that they are judged on."""
        return [*self.splits.values()][-1]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What thresholds give on one split.

    Attributes:
        report: accuracies, shares and MACs.
        average_cost: Eq. 5 in the unit of the costs that were kept low.
        intervals: how far accuracy and average cost may be off.
    """

    report: AdaptiveReport
    average_cost: float
    intervals: ReportIntervals


def find_thresholds(
    subject: Subject,
    limits: Limits,
    grid_size: int | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[Front, dict[str, float] | None]:
    """Return the front on ``val``, and the best thresholds on it; None where there is no limit.

    Raises:
        TuningError: no thresholds keep to the limits, or too small or large a grid.
    """
    front = search_thresholds(
        subject.val,
        subject.costs,
        confidence_grids(subject.val, grid_size),
        max_path_cost=limits.max_path_cost,
        progress=progress,
    )
    if limits.none_given:
        return front, None
    return front, best_setting(front, limits).thresholds


def judge(subject: Subject, split: str, thresholds: Mapping[str, float]) -> Judgement:
    """Return what ``thresholds`` give on one of the splits."""
    predictions = subject.splits[split]
    report = evaluate_adaptive(predictions, thresholds, subject.exits)
    paid = subject.costs.paid(thresholds)
    return Judgement(
        report,
        sum(exit_.share * paid[exit_.name] for exit_ in report.exits),
        bootstrap_intervals(predictions, thresholds, subject.costs),
    )


def better_than_last(predictions: ExitPredictions) -> dict[str, float]:
    """Return the exits that are better than the last one beyond chance, with their accuracies.

    That is the case while a network is not trained yet. Only samples count that one of the two is
    right about alone; by chance these are halves (the sign test).
    """
    *branches, final = predictions.correct  # (N,) each
    found = {}
    for name, correct in zip(predictions.exit_names, branches, strict=False):
        alone = int(np.count_nonzero(correct & ~final))
        missed = int(np.count_nonzero(final & ~correct))
        if alone - missed > CERTAIN * math.sqrt(alone + missed):
            found[name] = float(correct.mean())
    return found
