"""Choose thresholds on one split and evaluate them on another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from edgeexit_runtime.bundle.guarantee_entry import Guarantee
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cost import ExitCosts
from edgeexit.evaluation.adaptive import (
    AdaptiveReport,
    ReportIntervals,
    bootstrap_intervals,
    evaluate_adaptive,
)
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.thresholds.front import Front, Setting, front_by_split
from edgeexit.thresholds.grids import confidence_grids
from edgeexit.thresholds.guarantee import Guaranteed, Promise, find_guaranteed
from edgeexit.thresholds.search import search_thresholds
from edgeexit.thresholds.selection import Limits, best_setting

if TYPE_CHECKING:
    from edgeexit.evaluation.calibration import Calibration

CERTAIN = 3.0
"""Standard deviations by which an exit must exceed the last one to count as better."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network to tune, with its predictions and costs.

    Attributes:
        title: description of the network.
        dataset: name of the data set.
        source: where the costs come from.
        chosen_on: description of the images that thresholds are chosen on.
        exits: costs of its exits in MACs.
        costs: the path costs to minimize: these MACs, or measured costs.
        splits: predictions by the split's name: the first split to choose thresholds on, the last
            one to evaluate them on; ``val`` and ``test``, or a single one for both.
        labelled: whether the targets are true classes; otherwise the last exit's predictions.
        calibration: fitted temperatures; None without.
    """

    title: str
    dataset: str
    source: str
    chosen_on: str
    exits: ExitCosts
    costs: PathCosts
    splits: dict[str, ExitPredictions]
    labelled: bool = True
    calibration: Calibration | None = None

    @property
    def val(self) -> ExitPredictions:
        """Predictions that thresholds are chosen on."""
        return next(iter(self.splits.values()))

    @property
    def test(self) -> ExitPredictions:
        """Predictions that thresholds are evaluated on."""
        return [*self.splits.values()][-1]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Evaluation of thresholds on one split.

    Attributes:
        report: accuracies, shares and MACs.
        average_cost: Eq. 5 in the unit of the minimized costs.
        intervals: bootstrap intervals of accuracy and average cost.
    """

    report: AdaptiveReport
    average_cost: float
    intervals: ReportIntervals


@dataclass(frozen=True, eq=False)
class Tuning:
    """The front of a network and the thresholds chosen on it.

    Attributes:
        subject: the network.
        limits: limits on the thresholds.
        front: the settings that no other is superior to on ``val``.
        thresholds: the chosen thresholds; None if no limit was given.
        judgements: evaluation of these thresholds, by split.
        last_accuracy: accuracy of the last exit alone, by split.
        better_than_last: accuracies of other exits on ``val``, see :func:`better_than_last`.
        guaranteed: the guarantee and how it was shown; None if none was requested.
    """

    subject: Subject
    limits: Limits
    front: Front
    thresholds: dict[str, float] | None
    judgements: dict[str, Judgement]
    last_accuracy: dict[str, float]
    better_than_last: dict[str, float]
    guaranteed: Guaranteed | None = None

    @property
    def guarantee(self) -> Guarantee | None:
        """The guarantee as stored with the thresholds; None without."""
        return None if self.guaranteed is None else self.guaranteed.entry(self.subject.chosen_on)

    @cached_property
    def front_by_split(self) -> dict[str, list[Setting]]:
        """The front on ``val``, and its settings evaluated on ``test``."""
        return front_by_split(self.front, self.subject.test)

    def choice_json(self) -> dict[str, Any]:
        """Return everything but the front as JSON values."""
        subject, calibration = self.subject, self.subject.calibration
        value: dict[str, Any] = {
            "dataset": subject.dataset,
            "limits": encode(self.limits),
            "objective": {**subject.costs.in_units(), "source": subject.source},
            "chosen_on": next(iter(subject.splits)),
            "labelled": subject.labelled,
            "thresholds": self.thresholds,
            "settings": self.front.settings,
            "exact": self.front.exact,
            "better_than_last": self.better_than_last,
        }
        for split, judgement in self.judgements.items():
            value[split] = encode(judgement.report)
            value.setdefault("average_cost", {})[split] = judgement.average_cost
            value.setdefault("intervals", {})[split] = encode(judgement.intervals)
        if self.guaranteed is not None:
            value["guarantee"] = {
                **encode(self.guarantee),
                "candidates": self.guaranteed.candidates,
                "passed": self.guaranteed.passed,
                "by_betting": self.guaranteed.by_betting,
            }
        if calibration is not None:
            value["calibration"] = {
                "temperatures": calibration.temperatures,
                "fitted_on": calibration.fitted_on,
                "expected_calibration_error_before": calibration.error_before,
                "expected_calibration_error_after": calibration.error_after,
            }
        return value

    def front_json(self) -> dict[str, Any]:
        """Return every setting of the front on ``val`` and ``test``; empty with a guarantee.

        With a guarantee, the front is of losses on half of ``val`` and only supplies candidates.
        """
        if self.guaranteed is not None:
            return {}
        settings = []
        for found in zip(*self.front_by_split.values(), strict=True):
            setting: dict[str, Any] = {"thresholds": found[0].thresholds}
            for split, its in zip(self.front_by_split, found, strict=True):
                setting[split] = {"accuracy": its.accuracy, "average_cost": its.average_cost}
            settings.append(setting)
        return {"front": settings}


def tune(
    subject: Subject,
    limits: Limits,
    promise: Promise | None = None,
    grid_size: int | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> Tuning:
    """Choose the best thresholds of a network; without a limit, only find the front.

    Args:
        subject: the network.
        limits: limits on the thresholds; with a promise, only ``max_path_cost`` applies.
        promise: the guarantee to show; None without.
        grid_size: see :func:`confidence_grids`.
        progress: called with the finished fraction, 0 to 1, of a local search.

    Raises:
        TuningError: no thresholds meet the limits or are shown to keep the promise, or the grid
            is too small or too large.
    """
    val, costs, path_cost = subject.val, subject.costs, limits.max_path_cost
    guaranteed, thresholds = None, None
    if promise is not None:
        guaranteed = find_guaranteed(
            val, costs, promise, grid_size, max_path_cost=path_cost, progress=progress
        )
        front, thresholds = guaranteed.front, guaranteed.thresholds
    else:
        grids = confidence_grids(val, grid_size)
        front = search_thresholds(val, costs, grids, max_path_cost=path_cost, progress=progress)
        if not limits.none_given:
            thresholds = best_setting(front, limits).thresholds
    judgements = {}
    if thresholds is not None:
        judgements = {
            split: judge(answers, thresholds, subject.exits, costs)
            for split, answers in subject.splits.items()
        }
    last = {split: float(it.correct[-1].mean()) for split, it in subject.splits.items()}
    better = better_than_last(val)
    return Tuning(subject, limits, front, thresholds, judgements, last, better, guaranteed)


def judge(
    predictions: ExitPredictions,
    thresholds: Mapping[str, float],
    exits: ExitCosts,
    costs: PathCosts,
) -> Judgement:
    """Evaluate ``thresholds`` on some samples.

    Args:
        predictions: predictions on these samples.
        thresholds: threshold of every exit but the last.
        exits: costs of the exits in MACs.
        costs: the path costs to minimize.
    """
    report = evaluate_adaptive(predictions, thresholds, exits)
    paid = costs.paid(thresholds)
    return Judgement(
        report,
        sum(exit_.share * paid[exit_.name] for exit_ in report.exits),
        bootstrap_intervals(predictions, thresholds, costs),
    )


def better_than_last(predictions: ExitPredictions) -> dict[str, float]:
    """Return the exits that are significantly better than the last one, with their accuracies.

    This happens if a network is not trained yet. The sign test counts only the samples on which
    exactly one of the two exits is right; by chance, each is right on half of them.
    """
    *branches, final = predictions.correct  # (N,) each
    found = {}
    for name, correct in zip(predictions.exit_names, branches, strict=False):
        alone = int(np.count_nonzero(correct & ~final))
        missed = int(np.count_nonzero(final & ~correct))
        if alone - missed > CERTAIN * math.sqrt(alone + missed):
            found[name] = float(correct.mean())
    return found
