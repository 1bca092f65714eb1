"""Thresholds chosen on val, and their results on test: the threshold search of all figures."""

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
from edgeexit.thresholds.front import spread_points

DEFAULT_DROP = 0.01
"""Default accuracy: so much below the highest accuracy that all networks reach."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Thresholds, and their results on the test images."""

    thresholds: dict[str, float]
    report: AdaptiveReport


def default_accuracy(subjects: Sequence[Subject]) -> float:
    """Return an adaptive accuracy on val that all networks reach: the highest such accuracy minus
    :data:`DEFAULT_DROP`, rounded down to a hundredth of a percent.
    """
    reached = [_front(subject).setting(-1).accuracy for subject in subjects]
    return max(0.0, math.floor((min(reached) - DEFAULT_DROP) * 10_000) / 10_000)


def choose_at_accuracy(subject: Subject, accuracy: float) -> Chosen:
    """Return the thresholds with the lowest average cost and at least ``accuracy`` on val.

    Raises:
        TuningError: no thresholds reach it; the message gives the nearest.
    """
    with _named(subject):
        return _on_test(subject, best_setting(_front(subject), Limits(min_accuracy=accuracy)))


def choose_front(subject: Subject, most: int) -> list[Chosen]:
    """Return at most ``most`` settings of the front on val, spread evenly over the cost."""
    front = _front(subject)
    return [_on_test(subject, front.setting(place)) for place in spread_points(front, most)]


def as_given(subject: Subject) -> AdaptiveReport:
    """Return the network's results on test at its own thresholds."""
    return evaluate_adaptive(subject.test, subject.thresholds, subject.cost)


@contextmanager
def _named(subject: Subject) -> Iterator[None]:
    """Prefix errors with the network's name."""
    try:
        yield
    except TuningError as error:
        raise TuningError(f"{subject.name}: {error}") from error


@lru_cache(maxsize=64)  # several figures need it, and with many branches it takes seconds
def _front(subject: Subject) -> Front:
    with _named(subject):
        return search_thresholds(subject.val, PathCosts.in_macs(subject.cost.exits))


def _on_test(subject: Subject, setting: Setting) -> Chosen:
    report = evaluate_adaptive(subject.test, setting.thresholds, subject.cost)
    return Chosen(setting.thresholds, report)
