"""Thresholds with a promise: candidates from one half, tested from safe to cheap on the other."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from edgeexit_runtime.bundle.guarantee_entry import DISAGREEMENT, DROP, ERROR, RISKS

from edgeexit.errors import TuningError
from edgeexit.evaluation import ExitPredictions, PathCosts, leaving_exits
from edgeexit.statistics.risk import LossCounts, binomial_p
from edgeexit.thresholds.guarantee import Promise, exit_losses, find_guaranteed
from edgeexit.thresholds.worst_path import worst_path

COSTS = PathCosts(("exit1", "exit2", "final"), (40, 80, 120), (10, 10, 0), 100)


def answers(images: int = 2000, seed: int = 0) -> ExitPredictions:
    """Exits that are less often wrong the surer they are, and the later."""
    rng = np.random.default_rng(seed)
    confidences = rng.uniform(0.5, 1, (3, images)).astype(np.float32)
    wrong = rng.uniform(size=(3, images)) < (1 - confidences) * np.array([[0.4], [0.3], [0.1]])
    return ExitPredictions(COSTS.exit_names, confidences, wrong.astype(int), np.zeros(images, int))


def test_what_each_exit_loses() -> None:
    labels = np.array([[0, 1, 1, 2], [0, 0, 1, 1]])
    predictions = ExitPredictions(
        ("exit1", "final"), np.ones((2, 4), np.float32), labels, np.array([0, 1, 0, 1])
    )
    assert exit_losses(predictions, ERROR).tolist() == [[0, 0, 1, 1], [0, 1, 1, 0]]
    assert exit_losses(predictions, DISAGREEMENT).tolist() == [[0, 1, 0, 1], [0, 0, 0, 0]]
    assert exit_losses(predictions, DROP).tolist() == [[0, -1, 0, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize("risk", RISKS)
def test_the_other_half_shows_what_is_promised(risk: str) -> None:
    predictions, promise = answers(), Promise(risk, 0.06, 0.95)
    found = find_guaranteed(predictions, COSTS, promise)
    if risk == DISAGREEMENT:  # needs no labels
        unknown = dataclasses.replace(predictions, targets=np.full(2000, -1))
        assert find_guaranteed(unknown, COSTS, promise).thresholds == found.thresholds
    order = np.random.default_rng(0).permutation(2000)
    test = predictions.take(np.sort(order[1000:]))
    left_at = leaving_exits(test, found.thresholds)
    losses = exit_losses(test, risk)[left_at, np.arange(1000)]
    assert found.counts == LossCounts.of(losses)
    assert found.counts.risk < 0.06
    if not found.by_betting:
        assert binomial_p(found.counts, 0.06) <= 0.05
    assert found.front.samples == 1000
    assert 1 <= found.passed < found.candidates
    assert (left_at < 2).mean() > 0.1, "it leaves early at all"
    entry = found.entry("some images")
    assert (entry.risk, entry.target, entry.confidence) == (risk, 0.06, 0.95)
    assert (entry.images, entry.observed) == (1000, found.counts.risk)
    assert (entry.data, entry.thresholds) == ("some images", found.thresholds)


def test_the_order_comes_from_the_first_half_and_ends_at_the_first_that_fails() -> None:
    """Images of the test half that all lose stop everything, whatever the first half says."""
    predictions = answers()
    order = np.random.default_rng(0).permutation(2000)
    labels = predictions.labels.copy()
    labels[:2, order[1000:]] = 1 - labels[2, order[1000:]]
    spoiled = dataclasses.replace(predictions, labels=labels)
    with pytest.raises(TuningError, match="no thresholds were shown to have a disagreement"):
        find_guaranteed(spoiled, COSTS, Promise(DISAGREEMENT, 0.02, 0.95))


def test_a_looser_target_or_less_confidence_is_cheaper() -> None:
    def cost(target: float, confidence: float) -> float:
        predictions = answers()
        found = find_guaranteed(predictions, COSTS, Promise(DISAGREEMENT, target, confidence))
        paid = np.array([*COSTS.paid(found.thresholds).values()])
        return float(paid[leaving_exits(predictions, found.thresholds)].mean())

    assert cost(0.1, 0.95) < cost(0.05, 0.95) < cost(0.02, 0.95)
    assert cost(0.05, 0.6) <= cost(0.05, 0.95) <= cost(0.05, 0.9999)


def test_no_path_is_dearer_than_allowed() -> None:
    predictions, promise = answers(), Promise(ERROR, 0.07, 0.95)
    free = find_guaranteed(predictions, COSTS, promise)
    assert worst_path(COSTS, [*free.thresholds.values()]) > 110
    found = find_guaranteed(predictions, COSTS, promise, max_path_cost=110)
    assert worst_path(COSTS, [*found.thresholds.values()]) <= 110


@pytest.mark.parametrize("images", [2, 3, 99, 296])
def test_too_few_images_are_told_how_many_it_takes(images: int) -> None:
    with pytest.raises(TuningError) as caught:
        find_guaranteed(answers(images), COSTS, Promise(DROP, 0.02, 0.95))
    told = str(caught.value)
    assert f"{images} images are too few for a drop in accuracy" in told
    assert "needs 149 without a loss" in told  # 0.98**149 < 0.05
    assert "give 298 or more" in told
    reachable = float(re.findall(r"ask for ([0-9.]+) or more", told)[0])
    assert 0.02 < reachable <= 1
    testing = images - images // 2
    assert (1 - reachable) ** testing <= 0.05 < (1 - reachable + 2e-4) ** testing


@pytest.mark.parametrize("images", [297, 298])
def test_just_enough_images_without_a_loss_are_enough(images: int) -> None:
    sure, right = np.ones((3, images), np.float32), np.zeros((3, images), int)
    predictions = ExitPredictions(COSTS.exit_names, sure, right, right[0])
    found = find_guaranteed(predictions, COSTS, Promise(DROP, 0.02, 0.95))
    assert found.counts == LossCounts(149, 0)


def test_one_image_cannot_choose_and_test() -> None:
    with pytest.raises(TuningError, match=r"1 images are too few .* give 2 or more"):
        find_guaranteed(answers(1), COSTS, Promise(DISAGREEMENT, 0.99, 0.5))


def test_images_that_lose_too_much_are_told_what_can_be_shown() -> None:
    with pytest.raises(TuningError) as caught:
        find_guaranteed(answers(), COSTS, Promise(ERROR, 0.01, 0.95))
    told = str(caught.value)
    assert "more images would not show it" in told
    lost = int(re.findall(r"lose ([0-9]+) of the 1000 images", told)[0])
    reachable = float(re.findall(r"ask for ([0-9.]+) or more", told)[0])
    assert binomial_p(LossCounts(1000, lost), reachable) <= 0.05
    assert find_guaranteed(answers(), COSTS, Promise(ERROR, reachable, 0.95)).passed >= 1


def test_images_that_are_nearly_enough_are_told_how_many_would_do() -> None:
    """The last exit is wrong on 2 % of the images: below 2.5 %, but it takes many to show."""
    rng = np.random.default_rng(0)
    wrong = np.stack([rng.uniform(size=600) < 0.3, np.arange(600) % 50 == 0]).astype(int)
    predictions = ExitPredictions(
        ("exit1", "final"), np.ones((2, 600), np.float32), wrong, np.zeros(600, int)
    )
    costs = PathCosts(("exit1", "final"), (40, 120), (10, 0), 100)
    with pytest.raises(TuningError, match=r"about ([0-9,]+) images instead of 600") as caught:
        find_guaranteed(predictions, costs, Promise(ERROR, 0.025, 0.95))
    needed = int(re.findall(r"about ([0-9,]+) images", str(caught.value))[0].replace(",", ""))
    assert needed > 1200


def test_where_leaving_early_saves_nothing_there_is_nothing_to_guarantee() -> None:
    """The branch alone costs more than the rest of the network."""
    predictions = answers().take(np.arange(1000))
    dear = PathCosts(COSTS.exit_names, (140, 280, 300), (100, 100, 0), 100)
    with pytest.raises(TuningError, match="leaving early saves nothing"):
        find_guaranteed(predictions, dear, Promise(DISAGREEMENT, 0.05, 0.95))


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 95.0, float("nan")])
def test_targets_and_confidences_that_cannot_be_promised(value: float) -> None:
    with pytest.raises(TuningError, match=f"a drop above 0 and below 1, got {value}"):
        Promise(DROP, value, 0.95)
    with pytest.raises(TuningError, match=f"a confidence above 0 and below 1.*got {value}"):
        Promise(DROP, 0.01, value)
