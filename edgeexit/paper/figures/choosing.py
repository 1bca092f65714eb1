"""Thresholds chosen on val, and what they give on test: the one place that searches for figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from edgeexit.errors import TuningError
from edgeexit.evaluation import AdaptiveReport, PathCosts, evaluate_adaptive
from edgeexit.paper.figures.subject import Subject
from edgeexit.thresholds import Front, Limits, Setting, best_setting, search_thresholds
from edgeexit.thresholds.front_file import spread_points

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
    reached = [_front(subject).setting(-1).accuracy for subject in subjects]
    return max(0.0, math.floor((min(reached) - DEFAULT_DROP) * 10_000) / 10_000)


def choose_at_accuracy(subject: Subject, accuracy: float) -> Chosen:
    """Return the thresholds of the lowest average cost with at least ``accuracy`` on val.

    Raises:
        TuningError: no thresholds reach it; the message gives the nearest.
    """
    with _named(subject):
        return _on_test(subject, best_setting(_front(subject), Limits(min_accuracy=accuracy)))


def choose_front(subject: Subject, most: int) -> list[Chosen]:
    """Return the settings that no other beats on val, at most ``most``, evenly over the cost."""
    front = _front(subject)
    return [_on_test(subject, front.setting(place)) for place in spread_points(front, most)]


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


@lru_cache(maxsize=64)  # several figures want it, and with many branches it takes seconds
def _front(subject: Subject) -> Front:
    with _named(subject):
        return search_thresholds(subject.val, PathCosts.in_macs(subject.cost.exits))


def _on_test(subject: Subject, setting: Setting) -> Chosen:
    report = evaluate_adaptive(subject.test, setting.thresholds, subject.cost)
    return Chosen(setting.thresholds, report)
