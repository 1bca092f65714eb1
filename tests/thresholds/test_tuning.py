from __future__ import annotations

import numpy as np
import pytest

from edgeexit.evaluation import ExitPredictions
from edgeexit.thresholds.tuning import better_than_last


def _predictions(alone: int, missed: int, both: int = 50) -> ExitPredictions:
    """``exit1`` is right about ``both`` and ``alone``, ``final`` about ``both`` and ``missed``."""
    samples = np.arange(both + alone + missed)
    right = np.stack([samples < both + alone, (samples < both) | (samples >= both + alone)])
    targets = np.zeros(len(samples), np.int64)
    names = ("exit1", "final")
    return ExitPredictions(names, np.ones(right.shape, np.float32), (~right).astype(int), targets)


@pytest.mark.parametrize(
    ("alone", "missed", "is_better"),
    [
        (10, 0, True),  # 10 to none: 10 against 3 * sqrt(10) = 9.5
        (9, 0, False),
        (0, 0, False),
        (6, 4, False),
        (0, 40, False),
        (66, 34, True),  # 32 against 30
        (64, 36, False),
    ],
)
def test_an_exit_is_better_than_the_last_beyond_chance(
    alone: int, missed: int, is_better: bool
) -> None:
    predictions = _predictions(alone, missed)
    share = (50 + alone) / len(predictions.targets)
    assert better_than_last(predictions) == ({"exit1": share} if is_better else {})
