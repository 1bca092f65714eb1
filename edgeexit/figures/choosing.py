"""Thresholds chosen on val, and what they give on test: the one place that searches for figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from edgeexit.errors import TuningError
from edgeexit.evaluation import (
    AdaptiveReport,
    SearchResult,
    Setting,
    cheapest_with_accuracy,
    confidence_grids,
    evaluate_adaptive,
    pareto_front,
    search_thresholds,
)
from edgeexit.figures.subject import Subject

__all__ = [
    "DEFAULT_DROP",
    "Chosen",
    "as_given",
    "choose_at_accuracy",
    "choose_front",
    "default_accuracy",
]

DEFAULT_DROP = 0.01
"""What is given up of the highest accuracy that all networks reach, where none is asked for."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Thresholds, and what they give on the test images."""

    thresholds: dict[str, float]
    report: AdaptiveReport


def default_accuracy(subjects: Sequence[Subject]) -> float:
    """Return an adaptive accuracy on val that all networks reach: the highest that there is less
    :data:`DEFAULT_DROP`, rounded down to a hundredth of a percent.
    """
    reached = []
    for subject in subjects:
        with _named(subject):
            reached.append(pareto_front(_search(subject))[-1].accuracy)
    return max(0.0, math.floor((min(reached) - DEFAULT_DROP) * 10_000) / 10_000)


def choose_at_accuracy(subject: Subject, accuracy: float) -> Chosen:
    """Return the thresholds of the lowest average cost with at least ``accuracy`` on val.

    Raises:
        TuningError: no thresholds reach it; the message gives the nearest.
    """
    with _named(subject):
        return _on_test(subject, cheapest_with_accuracy(_search(subject), accuracy))


def choose_front(subject: Subject, most: int) -> list[Chosen]:
    """Return the settings that no other beats on val, at most ``most``, evenly over the cost."""
    with _named(subject):
        front = pareto_front(_search(subject))
    costs = np.array([setting.average_macs for setting in front])
    wanted = np.linspace(costs[0], costs[-1], most)
    nearest = np.abs(costs[:, None] - wanted).argmin(axis=0)
    return [_on_test(subject, front[index]) for index in np.unique(nearest)]


def as_given(subject: Subject) -> AdaptiveReport:
    """Return what the network gives on test at its own thresholds."""
    return evaluate_adaptive(subject.test, subject.thresholds, subject.cost)


@contextmanager
def _named(subject: Subject) -> Iterator[None]:
    """Say of which network an error is."""
    try:
        yield
    except TuningError as error:
        raise TuningError(f"{subject.name}: {error}") from error


def _search(subject: Subject) -> SearchResult:
    path_macs = {exit_.name: exit_.path_macs for exit_ in subject.cost.exits}
    return search_thresholds(subject.val, path_macs, confidence_grids(subject.val))


def _on_test(subject: Subject, setting: Setting) -> Chosen:
    report = evaluate_adaptive(subject.test, setting.thresholds, subject.cost)
    return Chosen(setting.thresholds, report)
