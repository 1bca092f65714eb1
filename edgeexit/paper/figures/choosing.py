"""Thresholds chosen on val, and their results on test: the threshold search of all figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from edgeexit.errors import TuningError, prefixed
from edgeexit.evaluation import AdaptiveReport, PathCosts, evaluate_adaptive
from edgeexit.paper.figures.subject import Subject
from edgeexit.thresholds import Front, Limits, Setting, best_setting, search_thresholds
from edgeexit.thresholds.front import spread_points

DEFAULT_DROP = 0.01
"""Default accuracy: so much below the highest accuracy that all networks reach."""


Chosen = tuple[dict[str, float], AdaptiveReport]
"""Thresholds, and their results on the test images."""


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
    with prefixed(f"{subject.name}: ", TuningError):
        return _on_test(subject, best_setting(_front(subject), Limits(min_accuracy=accuracy)))


def choose_front(subject: Subject, most: int) -> list[Chosen]:
    """Return at most ``most`` settings of the front on val, spread evenly over the cost."""
    front = _front(subject)
    return [_on_test(subject, front.setting(place)) for place in spread_points(front, most)]


@lru_cache(maxsize=64)  # several figures need it, and with many branches it takes seconds
def _front(subject: Subject) -> Front:
    with prefixed(f"{subject.name}: ", TuningError):
        return search_thresholds(subject.val, PathCosts.in_macs(subject.cost))


def _on_test(subject: Subject, setting: Setting) -> Chosen:
    return setting.thresholds, evaluate_adaptive(subject.test, setting.thresholds, subject.cost)
