"""Predictions drawn at random, and one setting after another tried by a loop over samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from edgeexit_runtime.gate import NEVER

from edgeexit.evaluation import ExitPredictions, PathCosts

GRID = np.array([0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, NEVER], np.float32)
# not even ascending: nothing may rest on it
PATHS, BRANCHES = (7, 19, 11, 40, 45, 62), (3, 8, 1, 6, 2, 4)


@dataclass(frozen=True)
class Outcome:
    """What one setting gives on all samples."""

    correct: int
    cost: int
    dearest: int


def random_predictions(branches: int, samples: int = 60, seed: int = 0) -> ExitPredictions:
    """Return predictions whose confidences are few, so that many are equal to grid values."""
    random = np.random.default_rng(seed)
    exits = branches + 1
    return ExitPredictions(
        (*(f"exit{number}" for number in range(1, exits)), "final"),
        (random.integers(2, 11, (exits, samples)) / 10).astype(np.float32),
        random.integers(0, 2, (exits, samples)),
        random.integers(0, 2, samples),
    )


def costs_of(predictions: ExitPredictions) -> PathCosts:
    exits = len(predictions.exit_names)
    return PathCosts(predictions.exit_names, PATHS[:exits], BRANCHES[:exits], 30)


def one_by_one(predictions: ExitPredictions, costs: PathCosts, gammas: Sequence[float]) -> Outcome:
    """Try one setting by a loop over samples and exits."""
    increments = np.diff([0, *costs.paths])
    correct = cost = dearest = 0
    for n in range(len(predictions.targets)):
        paid = 0
        for exit_, gamma in enumerate((*gammas, 0.0)):
            paid += int(increments[exit_])
            if gamma == NEVER:
                paid -= costs.branches[exit_]
            elif predictions.confidences[exit_, n] >= np.float32(gamma) or exit_ == len(gammas):
                break
        correct += int(predictions.labels[exit_, n] == predictions.targets[n])
        cost += paid
        dearest = max(dearest, paid)
    return Outcome(correct, cost, dearest)
