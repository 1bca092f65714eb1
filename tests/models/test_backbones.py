"""Backbones: depth, size and shortcuts of the originals, and torchvision's own results."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from edgeexit.models import FeatureInfo, list_backbones
from edgeexit.models.backbone import Backbone, feature_infos
from edgeexit.models.backbones.cifar_resnet import OptionAShortcut
from edgeexit.models.registry import backbone_entry, create_backbone


def build(name: str, num_classes: int = 10) -> Backbone:
    return create_backbone(name, num_classes, backbone_entry(name).input_size)


def on_meta(name: str, num_classes: int = 10) -> Backbone:
    with torch.device("meta"):
        return build(name, num_classes)


def test_every_backbone_of_the_readme_is_registered() -> None:
    expected = {"resnet20", "resnet56", "resnet110", "resnet18", "resnet34", "resnet50"}
    assert expected <= set(list_backbones())
    assert list_backbones() == sorted(list_backbones())


def test_branching_points_are_stages_but_not_the_last(backbone: str) -> None:
    net = on_meta(backbone)
    names = [name for name, _ in net.named_stages()]
    assert list(net.exit_stages) == [name for name in names if name in net.exit_stages]
    assert names[-1] not in net.exit_stages


def test_stages_read_what_the_one_before_gives(backbone: str) -> None:
    net = on_meta(backbone)
    names: tuple[str, ...] = ("images",)
    for _, stage in net.named_stages():
        assert stage.inputs == names
        names = stage.outputs
    assert net.classifier_inputs == names


@pytest.mark.parametrize(
    ("name", "depth"), [("resnet20", 20), ("resnet56", 56), ("resnet110", 110)]
)
def test_cifar_resnets_have_their_depth(name: str, depth: int) -> None:
    modules = on_meta(name).modules()
    assert sum(isinstance(module, (nn.Conv2d, nn.Linear)) for module in modules) == depth


@pytest.mark.parametrize(
    ("name", "millions"), [("resnet20", 0.27), ("resnet56", 0.85), ("resnet110", 1.7)]
)
def test_cifar_resnets_have_the_parameters_of_table_6_of_he_et_al(
    name: str, millions: float
) -> None:
    count = sum(value.numel() for value in on_meta(name).parameters())
    assert round(count / 1e6, len(str(millions)) - 2) == millions


def test_option_a_takes_every_second_pixel_and_pads_with_zero_channels() -> None:
    x = torch.randn(2, 16, 8, 8)
    y = OptionAShortcut(16, 32, stride=2)(x)
    assert y.shape == (2, 32, 4, 4)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_option_a_is_the_identity_where_the_shape_stays() -> None:
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(OptionAShortcut(16, 16, stride=1)(x), x)
    assert list(OptionAShortcut(16, 32, stride=2).parameters()) == []


@pytest.mark.parametrize("name", ["resnet20", "resnet56"])
def test_cifar_resnets_read_other_numbers_of_channels(name: str) -> None:
    net = create_backbone(name, 10, (1, 32, 32)).eval()
    assert net(torch.zeros(1, 1, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet34", pytest.param("resnet50", marks=pytest.mark.slow)]
)
def test_torchvision_split_gives_what_torchvision_gives(name: str) -> None:
    torch.manual_seed(0)
    original = torchvision.models.get_model(name, weights=None, num_classes=7).eval()
    split = build(name, num_classes=7).eval()
    weights, own = original.state_dict(), split.state_dict()
    assert [value.shape for value in weights.values()] == [value.shape for value in own.values()]
    split.load_state_dict(dict(zip(own, weights.values(), strict=True)))
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(split(images), original(images))


def test_modules_keep_torchvisions_names() -> None:
    keys = on_meta("resnet18").state_dict()
    assert "stages.stage1.body.conv1.weight" in keys
    assert "stages.stage1.body.layer1.0.conv1.weight" in keys
    assert "classifier.fc.weight" in keys


def test_feature_infos_name_every_tensor_between_stages() -> None:
    assert feature_infos(build("resnet18"), (3, 224, 224)) == {
        "images": FeatureInfo("images", (3, 224, 224)),
        "stage1_out": FeatureInfo("stage1_out", (64, 56, 56)),
        "stage2_out": FeatureInfo("stage2_out", (128, 28, 28)),
        "stage3_out": FeatureInfo("stage3_out", (256, 14, 14)),
        "stage4_out": FeatureInfo("stage4_out", (512, 7, 7)),
    }


@pytest.mark.parametrize("training", [True, False])
def test_feature_infos_leave_the_backbone_as_it_was(training: bool) -> None:
    net = build("resnet20").train(training)
    net.stages["stage1"].train(not training)  # such as one that is frozen while the rest trains
    modes = [module.training for module in net.modules()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    feature_infos(net, (3, 32, 32))
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_feature_infos_compute_nothing() -> None:
    """Images of a million by a million pixels would not fit into any memory."""
    shapes = feature_infos(build("resnet20"), (3, 2**20, 2**20))
    assert shapes["stage3_out"].shape == (64, 2**18, 2**18)


def test_modes_come_back_after_an_error() -> None:
    net = build("resnet20").train()
    with pytest.raises(RuntimeError):
        feature_infos(net, (3, 0, 0))
    assert all(module.training for module in net.modules())
