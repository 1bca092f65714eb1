"""Drift of what always does the same."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexit.statistics.bootstrap import medians
from edgeexit.statistics.drift import Drift, drift_between_fifths, find_drift


def test_drift_is_seen_in_the_thirds() -> None:
    times_ms = [1.0] * 10 + [1.05] * 10 + [1.3] * 10
    drift = find_drift("paths", times_ms)
    assert drift == Drift("paths", (1.0, 1.05, 1.3))
    assert drift.ratio == 1.3
    assert drift.drifted


def test_a_few_slow_calls_are_no_drift() -> None:
    times_ms = np.random.default_rng(0).uniform(0.98, 1.02, 60)
    times_ms[50:53] = 9.0
    drift = find_drift("mixture", times_ms.tolist())
    assert drift is not None
    assert not drift.drifted
    assert drift.measurement == "mixture"


def test_too_few_calls_tell_nothing_of_drift() -> None:
    assert find_drift("paths", [1.0] * 14) is None
    assert find_drift("paths", [1.0] * 15) is not None


def test_drift_between_fifths_is_between_the_fastest_and_the_slowest_fifth() -> None:
    times = np.repeat([1.0, 1.1, 1.0, 1.25, 1.0], 10)
    assert drift_between_fifths(times, medians) == pytest.approx(0.25)
    assert drift_between_fifths(times[:4], medians) == 0.0
