"""Scores of probabilities that are known, and what takes a score by name."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from edgeexit.errors import UnknownNameError
from edgeexit.evaluation import predict
from edgeexit.scores import SCORES, check_score

ROWS = np.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], np.float32)


def entropy(row: list[float]) -> float:
    return -sum(p * math.log(p) for p in row if p > 0)


EXPECTED = {
    "softmax": [0.7, 0.5, 1, 1 / 3],
    "margin": [0.5, 0.25, 1, 0],
    "entropy": [1 - entropy(row) / math.log(3) for row in ROWS.tolist()],
}


@pytest.mark.parametrize("name", SCORES.names())
def test_scores_of_known_probabilities(name: str) -> None:
    got = SCORES[name].of(ROWS)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, EXPECTED[name], atol=1e-6)
    np.testing.assert_array_equal(SCORES[name].of(ROWS.reshape(2, 2, 3)), got.reshape(2, 2))


@pytest.mark.parametrize("name", SCORES.names())
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_scores_are_from_0_to_1_whatever_comes(name: str, classes: int) -> None:
    logits = 50 * np.random.default_rng(0).standard_normal((200, classes), np.float32)
    probabilities = torch.from_numpy(logits).softmax(-1).numpy()
    scores = SCORES[name].of(probabilities)
    assert 0 <= scores.min() <= scores.max() <= 1 + 2**-20
    even = np.full((1, classes), 1 / classes, np.float32)
    assert SCORES[name].of(even) <= scores.min() + 1e-6  # nothing is less sure


class Net(nn.Module):
    score = "margin"

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"exit1": 2 * images, "final": images}


def test_predictions_are_of_the_networks_score() -> None:
    images = torch.from_numpy(np.log(np.maximum(ROWS, 1e-30)))
    answers = predict(Net(), TensorDataset(images, torch.zeros(4, dtype=torch.int64)))
    np.testing.assert_allclose(answers.confidences[1], EXPECTED["margin"], atol=1e-6)


def test_a_score_that_is_not_there() -> None:
    with pytest.raises(UnknownNameError, match=r"score 'margins'.*margin"):
        check_score("margins", 10)
