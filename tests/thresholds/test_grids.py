from __future__ import annotations

import numpy as np
import pytest
from edgeexit_runtime.gate import NEVER
from support.settings import random_predictions

from edgeexit.errors import TuningError
from edgeexit.thresholds import confidence_grids


def test_grid_holds_hundredths_never_and_quantiles() -> None:
    random = np.random.default_rng(0)
    predictions = random_predictions(3, samples=5000)
    predictions.confidences[:] = 1 - 1e-3 * random.random((4, 5000), np.float32)  # all above 0.999
    for values, confidences in zip(
        confidence_grids(predictions), predictions.confidences, strict=False
    ):
        assert values.dtype == np.float32
        assert len(values) == 200
        assert (np.diff(values) > 0).all()
        assert set(values) >= {np.float32(k / 100) for k in range(101)} | {np.float32(NEVER)}
        # the samples are spread over the values in between, evenly
        shares = np.diff([(confidences >= value).mean() for value in values])
        assert -shares.min() < 0.02


def test_quantiles_lie_between_samples() -> None:
    predictions = random_predictions(1, samples=4)
    predictions.confidences[0] = [0.901, 0.909, 0.905, 0.903]
    (values,) = confidence_grids(predictions, 150)
    fixed = {np.float32(k / 100) for k in range(101)} | {np.float32(NEVER)}
    extra = sorted(set(values) - fixed)
    assert extra == pytest.approx([0.902, 0.904, 0.906 + 0.001], abs=1e-6)


@pytest.mark.parametrize(("branches", "most"), [(1, 10_000), (2, 2000), (3, 200), (6, 200)])
def test_fewer_branches_get_finer_grids(branches: int, most: int) -> None:
    random = np.random.default_rng(2)
    predictions = random_predictions(branches, samples=4000)
    predictions.confidences[:] = random.random((branches + 1, 4000), np.float32)
    for values in confidence_grids(predictions):
        assert min(most, 3000) <= len(values) <= most


def test_too_small_a_grid_is_refused() -> None:
    with pytest.raises(TuningError, match=r"grid of at least 102 values per exit .*got 101"):
        confidence_grids(random_predictions(1), 101)
