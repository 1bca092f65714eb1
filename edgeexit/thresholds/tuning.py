"""Thresholds chosen on some samples, and what they are worth on others."""

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
from edgeexit.evaluation.adaptive import AdaptiveReport, evaluate_adaptive
from edgeexit.evaluation.bootstrap import ReportIntervals, bootstrap_intervals
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.thresholds.front import Front
from edgeexit.thresholds.front_file import FrontPoint, front_points
from edgeexit.thresholds.grids import confidence_grids
from edgeexit.thresholds.guarantee import Guaranteed, Promise, find_guaranteed
from edgeexit.thresholds.search import search_thresholds
from edgeexit.thresholds.selection import Limits, best_setting

if TYPE_CHECKING:
    from edgeexit.evaluation.calibration import Calibration

CERTAIN = 3.0
"""Standard deviations that an exit has to be above the last one by."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network whose thresholds are chosen, and what is known of it.

    Attributes:
        title: what it is, in words.
        dataset: what it is judged on.
        source: where the costs come from.
        chosen_on: the images that thresholds are chosen on, in words.
        exits: what its exits cost in MACs.
        costs: what is to be kept low: these MACs, or something that was measured.
        splits: answers by name: first those that thresholds are chosen on, last those that they
            are judged on; ``val`` and ``test``, or one alone.
        labelled: whether true classes are known, not the last exit's answers in their place.
        calibration: temperatures that were fitted before; None without.
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


@dataclass(frozen=True, eq=False)
class Tuning:
    """The front of a network, and what was chosen on it.

    Attributes:
        subject: the network.
        limits: what the thresholds had to keep to.
        front: the settings that no other beats on ``val``.
        thresholds: None where no limit was given.
        judgements: of these thresholds, by split.
        last_accuracy: of the last exit alone, by split.
        better_than_last: accuracies of other exits on ``val``, see :func:`better_than_last`.
        guaranteed: how they were shown to keep a promise; None where none was asked for.
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
        """What is kept with the thresholds."""
        return None if self.guaranteed is None else self.guaranteed.entry(self.subject.chosen_on)

    @cached_property
    def points(self) -> list[FrontPoint]:
        """The front beside what its settings give on ``test``."""
        return front_points(self.front, self.subject.test)

    def choice_json(self) -> dict[str, Any]:
        """Return all but the front as JSON values."""
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
        """Return every setting of the front, on ``val`` and ``test``; none with a guarantee.

        That has a front of half of ``val``, by what is lost, which only gives candidates.
        """
        if self.guaranteed is not None:
            return {}
        settings = []
        for point in self.points:
            setting: dict[str, Any] = {"thresholds": point.val.thresholds}
            for split, found in (("val", point.val), ("test", point.test)):
                setting[split] = {"accuracy": found.accuracy, "average_cost": found.average_cost}
            settings.append(setting)
        return {"front": settings}


def tune(
    subject: Subject,
    limits: Limits,
    promise: Promise | None = None,
    grid_size: int | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> Tuning:
    """Choose the best thresholds of a network, or find the front alone where there is no limit.

    Args:
        subject: the network.
        limits: what they have to keep to; with a promise, of its path costs alone.
        promise: what is to be shown of them.
        grid_size: see :func:`confidence_grids`.
        progress: told which fraction of a local search, 0 to 1, is done.

    Raises:
        TuningError: no thresholds keep to the limits or are shown to keep the promise, or too
            small or large a grid.
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
    """Return what ``thresholds`` give on some samples.

    Args:
        predictions: of these samples.
        thresholds: of every exit but the last.
        exits: what they cost in MACs.
        costs: what is kept low.
    """
    report = evaluate_adaptive(predictions, thresholds, exits)
    paid = costs.paid(thresholds)
    return Judgement(
        report,
        sum(exit_.share * paid[exit_.name] for exit_ in report.exits),
        bootstrap_intervals(predictions, thresholds, costs),
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
