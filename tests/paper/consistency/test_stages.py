from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from support.messages import missing
from torch import Tensor, nn

from edgeexit.errors import SpecError
from edgeexit.models import MultiExitNet, attach_exits, make_spec
from edgeexit.paper.consistency.stages import (
    check_same_features,
    compared_stages,
    crossing_features,
    finish,
)

FAMILIES = {
    "resnet20": 1,
    "densenet40_12": 1,
    "mobilenet_v2_cifar": 1,
    "vgg16_bn_cifar": 1,
    "msdnet_cifar100": 3,
}


@pytest.mark.parametrize(("backbone", "tensors"), FAMILIES.items())
def test_the_rest_of_a_network_gives_what_the_network_gives(backbone: str, tensors: int) -> None:
    net = MultiExitNet(make_spec(backbone, "none", 4)).eval()
    images = torch.randn(2, 3, 32, 32)
    stages = compared_stages(net)
    assert stages == net.backbone.exit_stages
    assert len(crossing_features(net, stages[0])) == tensors
    with torch.no_grad():
        expected = net(images)["final"]
        for stage in stages:
            features = net.backbone.extract(images, stage)
            crossing = {info.name: features[info.name] for info in crossing_features(net, stage)}
            assert all(len(tensor.shape) == 4 for tensor in crossing.values())
            assert torch.equal(finish(net.backbone, crossing, stage), expected)


def test_stages_are_those_with_exits(tiny_net: Callable[..., MultiExitNet]) -> None:
    spec = tiny_net("1+1").spec
    assert compared_stages(tiny_net("1+1")) == ("stage1", "stage2")
    assert compared_stages(MultiExitNet(replace(spec, exits=spec.exits[1:]))) == ("stage2",)


class Skip(nn.Module):
    """The end reads what the first layer wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.third, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        first = self.first(images)
        third = self.third(self.second(first).relu()) + first
        logits: Tensor = self.head(third.mean((2, 3)))
        return logits


def test_what_an_earlier_stage_wrote_is_reconstructed_too() -> None:
    net = attach_exits(Skip(), ["first", "second"], branches="1+1", input_size=(3, 8, 8))
    crossing = crossing_features(net, "stage2")
    assert len(crossing) == 2
    assert crossing[0] in crossing_features(net, "stage1")


class Tokens(nn.Module):
    def __init__(self, last: bool) -> None:
        super().__init__()
        self.body, self.head, self.last = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 2), last
        self.tokens = nn.Linear(8, 8)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.body(images).permute(0, 2, 3, 1)
        tokens = self.tokens(maps if self.last else maps.flatten(1, 2))
        logits: Tensor = self.head(tokens.flatten(1, -2).mean(1))
        return logits


class LateImages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head((self.body(images) + images).mean((2, 3)))
        return logits


@pytest.mark.parametrize(
    ("model", "point", "message"),
    [
        (Tokens(last=False), "tokens", r"features of shape \(16, 8\)"),
        (Tokens(last=True), "tokens", r"channels last, \(4, 4, 8\)"),
        (LateImages(), "body", "the images themselves, which are the same in every network"),
    ],
)
def test_what_is_no_feature_map_is_refused(model: nn.Module, point: str, message: str) -> None:
    net = attach_exits(model, [point], branches="n", input_size=(3, 16, 16))
    with pytest.raises(SpecError, match=rf"cannot be compared at stage1: expected .*{message}$"):
        crossing_features(net, "stage1")


def test_a_network_without_stages_is_refused() -> None:
    net = attach_exits(Skip(), [], branches="none", input_size=(3, 8, 8))
    with pytest.raises(SpecError, match="without exits has no stage to compare at: give a check"):
        compared_stages(net)


def test_other_features_are_refused(tiny_net: Callable[..., MultiExitNet]) -> None:
    net = tiny_net()
    other = MultiExitNet(make_spec("msdnet_cifar100", "none", 4))
    check_same_features(net, tiny_net("1+1"), "stage1", "3+1")
    with pytest.raises(SpecError) as error:
        check_same_features(net, other, "stage1", "3+1")
    assert not missing(
        error.value,
        *("3+1", "stage1", "expected", "stage1_out (16, 32, 32)", "stage1_scale1 (40, 32, 32)"),
        "give networks of one backbone",
    )
