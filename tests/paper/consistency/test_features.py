from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from edgeexit.data import ImageData
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.paper.consistency import Execution, TrainedNetwork
from edgeexit.paper.consistency.features import (
    ComputedFeatures,
    Features,
    FeatureSource,
    KeptFeatures,
    ShuffledFeatures,
    feature_bytes,
    feature_statistics,
    in_order,
)
from edgeexit.paper.consistency.stages import crossing_features

BATCHES = [[3, 0, 17], [5, 3]]


@pytest.fixture(scope="module")
def net(trained: Callable[..., TrainedNetwork]) -> MultiExitNet:
    return trained().checkpoint.build()


@pytest.fixture(scope="module")
def computed(net: MultiExitNet, noise: ImageData) -> ComputedFeatures:
    execution = Execution(batch_size=16)
    names = ("stage1_out",)
    return ComputedFeatures(net.backbone, "stage1", names, noise.splits["train"], execution)


def images(noise: ImageData, indices: list[int]) -> Tensor:
    return torch.stack([noise.splits["train"][index][0] for index in indices])


def read(source: FeatureSource) -> list[Features]:
    return list(source.batches(BATCHES))


def test_features_are_those_of_the_images_asked_for(
    net: MultiExitNet, computed: ComputedFeatures, noise: ImageData
) -> None:
    for features, batch in zip(read(computed), BATCHES, strict=True):
        with torch.no_grad():
            expected = net.backbone.extract(images(noise, batch))["stage1_out"]
        torch.testing.assert_close(features, {"stage1_out": expected})


def test_kept_features_are_those_computed(net: MultiExitNet, computed: ComputedFeatures) -> None:
    told: list[None] = []
    infos = crossing_features(net, "stage1")
    kept = KeptFeatures(computed, infos, lambda: told.append(None))
    assert len(kept) == len(computed) == 40
    assert len(told) == 3
    torch.testing.assert_close(read(kept), read(computed))
    (tensor,) = kept.kept.values()
    assert tensor.element_size() * tensor.nelement() == feature_bytes(infos, 40)


def test_shuffled_features_are_all_there_in_another_order(computed: ComputedFeatures) -> None:
    shuffled = ShuffledFeatures(computed, seed=0)
    order = shuffled.order
    assert sorted(order) == list(range(40))
    assert order != list(range(40))
    expected = computed.batches([[order[index] for index in batch] for batch in BATCHES])
    torch.testing.assert_close(read(shuffled), list(expected))


def test_statistics_are_over_images(computed: ComputedFeatures) -> None:
    class Given:
        def __len__(self) -> int:
            return 40

        def batches(self, batches: object) -> list[Features]:
            return [{"a": a[:25], "b": a[:25].abs()}, {"a": a[25:], "b": a[25:].abs()}]

    a = torch.randn(40, 3, 2, 2) + 5 * torch.arange(3)[:, None, None]
    statistics = feature_statistics(Given(), 25)  # type: ignore[arg-type]
    expected = {"a": a, "b": a.abs()}
    for name, tensor in expected.items():
        variance = float(tensor.double().var(0, correction=0).mean())
        assert statistics.variance[name] == pytest.approx(variance)
    assert statistics.signed == {"a"}
    assert feature_statistics(computed, 16).signed == frozenset(), "they come out of a ReLU"


def test_images_in_order() -> None:
    assert [list(batch) for batch in in_order(5, 2)] == [[0, 1], [2, 3], [4]]
    assert in_order(0, 2) == []
