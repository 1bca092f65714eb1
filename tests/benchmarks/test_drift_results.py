"""What drift.md is made of: looks, lives without a shift, delays, and how they are told."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from edgeexit_runtime import Predictions

Program = Callable[[str], ModuleType]


def answers(share: float) -> Predictions:
    """Return 1,000 answers of which a share leaves at exit1."""
    early = np.arange(1000) < 1000 * share
    return Predictions(
        np.zeros(1000, np.int64),
        np.where(early, 0.97, 0.7).astype(np.float32),
        np.where(early, 0, 2),
    )


def test_looks_cover_a_life(program: Program) -> None:
    steps = list(program("drift_results").looks(2500))
    assert sum(steps) == 2500
    assert (steps[0], steps[10], steps[19], steps[-1]) == (10, 100, 1000, 500)


def test_a_life_without_a_shift_and_delays(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = program("drift_results")
    monkeypatch.setattr(results, "LIFE", 3000)
    monkeypatch.setattr(results, "LONGEST", 500)
    lowest, naive = results.lowest_p(answers(0.7), 100, 0)
    assert lowest > 0.05
    assert 0 < naive <= 1
    assert results.delay(answers(0.7), answers(0.2), 1000, 0, 0) <= 60
    assert results.delay(answers(0.7), answers(0.7), 1000, 0, 0) is None


def test_delays_in_words(program: Program) -> None:
    shown = program("drift_results").shown
    assert shown([*range(10, 110, 10)]) == "50, 90"
    assert shown([10, None, None]) == "never, never"
