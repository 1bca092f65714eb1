from __future__ import annotations

import numpy as np
import pytest
from edgeexit_runtime.gate import NEVER

from edgeexit.evaluation import ExitPredictions, PathCosts
from edgeexit.evaluation.bootstrap import bootstrap_intervals

COSTS = PathCosts(("exit1", "final"), (2, 5), (1, 1), 4)


def draw(samples: int, seed: int) -> ExitPredictions:
    """Two exits, right in 80 % and 90 %, the first sure of about half."""
    rng = np.random.default_rng(seed)
    confidences = np.stack([rng.random(samples), np.ones(samples)]).astype(np.float32)
    labels = (rng.random((2, samples)) > np.array([[0.8], [0.9]])).astype(np.int64)
    return ExitPredictions(("exit1", "final"), confidences, labels, np.zeros(samples, np.int64))


def test_intervals_are_those_of_resampled_samples() -> None:
    predictions = draw(300, 0)
    got = bootstrap_intervals(predictions, {"exit1": 0.5}, COSTS)
    early = predictions.confidences[0] >= 0.5
    right = np.where(early, predictions.correct[0], predictions.correct[1])
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 300, (20_000, 300))
    for values, interval in (
        (right, got.adaptive_accuracy),
        (predictions.correct[1], got.backbone_accuracy),
        (predictions.correct[1].astype(int) - right, got.accuracy_drop),
        (np.where(early, 2.0, 5.0), got.average_cost),
    ):
        low, high = np.quantile(values[rows].mean(axis=1), (0.025, 0.975))
        assert interval.low == pytest.approx(low, abs=0.012)
        assert interval.high == pytest.approx(high, abs=0.012)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    truth = 0.5 * 0.8 + 0.5 * 0.9
    inside = 0
    for seed in range(200):
        got = bootstrap_intervals(draw(400, seed), {"exit1": 0.5}, COSTS, seed).adaptive_accuracy
        inside += got.low <= truth <= got.high
    assert 0.9 <= inside / 200 <= 0.99


def test_the_drop_is_paired() -> None:
    predictions = draw(400, 3)
    same = bootstrap_intervals(predictions, {"exit1": NEVER}, COSTS)
    assert (same.accuracy_drop.low, same.accuracy_drop.high) == (0, 0)
    assert (same.average_cost.low, same.average_cost.high) == pytest.approx((4, 4))
    assert same.adaptive_accuracy == same.backbone_accuracy


def test_the_seed_gives_the_same_again() -> None:
    predictions = draw(100, 0)
    first, again, other = (
        bootstrap_intervals(predictions, {"exit1": 0.5}, COSTS, seed) for seed in (0, 0, 1)
    )
    assert first == again != other
