from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from edgeexit.data import ImageData
from edgeexit.paper.consistency import Execution, StudyProgress, TrainedNetwork
from edgeexit.paper.consistency.features import Features, StageFeatures, feature_statistics
from edgeexit.paper.consistency.pairing import BaselineStage
from edgeexit.paper.consistency.stages import crossing_features

BATCHES = [[3, 0, 17], [5, 3]]


@pytest.fixture
def computed(trained: Callable[..., TrainedNetwork], noise: ImageData) -> StageFeatures:
    """The 40 training images' features of a ResNet-20 at stage 1."""
    net = trained().checkpoint.build()
    infos, execution = crossing_features(net, "stage1"), Execution(batch_size=16)
    return StageFeatures(net.backbone, "stage1", infos, noise.splits["train"], execution)


def read(source: StageFeatures) -> list[Features]:
    return list(source.batches(BATCHES))


def test_features_are_those_of_the_images_asked_for(
    computed: StageFeatures, noise: ImageData
) -> None:
    for features, batch in zip(read(computed), BATCHES, strict=True):
        images = torch.stack([noise.splits["train"][index][0] for index in batch])
        with torch.no_grad():
            expected = computed.backbone.extract(images)["stage1_out"]
        torch.testing.assert_close(features, {"stage1_out": expected})


def test_kept_features_are_those_computed(computed: StageFeatures) -> None:
    before, told = read(computed), list[int]()
    assert computed.kept_bytes == 0
    computed.keep(told.append)
    assert told == [16, 32, 40]
    assert computed.kept_bytes == computed.size == 40 * 16 * 8 * 8 * 4
    torch.testing.assert_close(read(computed), before)


@pytest.mark.parametrize("kept", [False, True])
def test_shuffled_features_are_all_there_in_another_order(
    computed: StageFeatures, kept: bool
) -> None:
    (whole,) = computed.batches([range(40)])
    if kept:
        computed.keep(lambda images: None)
    computed.shuffle(seed=0)
    assert sorted(computed.order) == list(range(40)) != list(computed.order)
    for features, batch in zip(read(computed), BATCHES, strict=True):
        expected = whole["stage1_out"][[computed.order[index] for index in batch]]
        torch.testing.assert_close(features, {"stage1_out": expected})


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_control_shuffles_training_and_test_images(
    trained: Callable[..., TrainedNetwork], noise: ImageData, shuffled: bool
) -> None:
    net = trained().checkpoint.build()
    at = BaselineStage(net, "stage1", noise, Execution(batch_size=16), 0, StudyProgress())
    pair = at.pair(net, "1+1", shuffled)
    for features in (pair.source, pair.test):
        assert (list(features.order) != sorted(features.order)) is shuffled


def test_statistics_are_over_images(computed: StageFeatures) -> None:
    class Given:
        def __len__(self) -> int:
            return 40

        def in_order(self) -> list[Features]:
            return [{"a": a[:25], "b": a[:25].abs()}, {"a": a[25:], "b": a[25:].abs()}]

    a = torch.randn(40, 3, 2, 2) + 5 * torch.arange(3)[:, None, None]
    given: Any = Given()
    statistics = feature_statistics(given)
    variances = [float(tensor.double().var(0, correction=0).mean()) for tensor in (a, a.abs())]
    assert statistics.variance == pytest.approx(sum(variances))
    assert statistics.signed == {"a"}
    assert feature_statistics(computed).signed == frozenset(), "they come out of a ReLU"
