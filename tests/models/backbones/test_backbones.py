"""Backbones: depth, size and shortcuts of the originals, and torchvision's own results."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from edgeexit.data.imagefolder import MEAN, STD
from edgeexit.errors import SpecError
from edgeexit.models import FeatureInfo, ModelSpec, MultiExitNet, list_backbones
from edgeexit.models.backbone import Backbone
from edgeexit.models.backbones.cifar_resnet import BasicBlock, OptionAShortcut
from edgeexit.models.backbones.densenet import DenseLayer
from edgeexit.models.backbones.googlenet import InputTransform
from edgeexit.models.layers.common import squeeze_excitation
from edgeexit.models.registry import backbone_entry
from edgeexit.models.torchvision_networks import stage_bodies

OF_TORCHVISION = (
    *("resnet18", "resnet34", "resnet50", "vgg16", "vgg16_bn", "googlenet", "mobilenet_v2"),
)
OF_CIFAR_SIZE = (
    *("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "se_resnet56"),
    *("densenet40_12", "googlenet_cifar", "vgg16_bn_cifar", "mobilenet_v2_cifar"),
)


def build(name: str, num_classes: int = 10) -> Backbone:
    return backbone_entry(name).build(num_classes, backbone_entry(name).input_size)


def on_meta(name: str, num_classes: int = 10) -> Backbone:
    with torch.device("meta"):
        return build(name, num_classes)


def parameters(name: str, num_classes: int = 10) -> int:
    return sum(value.numel() for value in on_meta(name, num_classes).parameters())


def test_every_backbone_of_the_paper_is_registered() -> None:
    assert {*OF_TORCHVISION, *OF_CIFAR_SIZE} <= set(list_backbones())
    assert list_backbones() == sorted(list_backbones())


def test_branching_points_are_stages_but_not_the_last(backbone: str) -> None:
    net = on_meta(backbone)
    names = [name for name, _ in net.named_stages()]
    assert list(net.exit_stages) == [name for name in names if name in net.exit_stages]
    assert names[-1] not in net.exit_stages


def test_stages_read_what_those_before_give(backbone: str) -> None:
    net = on_meta(backbone)
    stages = [stage for _, stage in net.named_stages()]
    given = ["images"]
    for stage in stages:
        assert set(stage.inputs) <= set(given)
        if all(len(other.outputs) == 1 for other in stages):  # a chain
            assert list(stage.inputs) == given[-1:]
        assert not set(stage.outputs) & set(given)
        given += stage.outputs
    assert set(net.classifier_inputs) <= set(stages[-1].outputs)


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_cifar_resnets_are_those_of_table_6_of_he_et_al(depth: int, millions: float) -> None:
    modules = on_meta(f"resnet{depth}").modules()
    assert sum(isinstance(module, (nn.Conv2d, nn.Linear)) for module in modules) == depth
    count = parameters(f"resnet{depth}")
    assert round(count / 1e6, len(str(millions)) - 2) == millions


def test_se_resnet_adds_an_excitation_to_every_block() -> None:
    """Two layers with biases, c to c / 16 and back, in 9 blocks of each of the three widths."""
    added = sum(9 * (2 * c * (c // 16) + c // 16 + c) for c in (16, 32, 64))
    assert parameters("se_resnet56") == parameters("resnet56") + added


def test_se_block_rescales_its_main_path() -> None:
    torch.manual_seed(0)
    block = BasicBlock(16, 32, 2, squeeze_excitation).eval()
    x = torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        main = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
        squeezed = main.mean((2, 3), keepdim=True)
        scale = block.excitation.fc2(block.excitation.fc1(squeezed).relu()).sigmoid()
        torch.testing.assert_close(block(x), (main * scale + block.shortcut(x)).relu())


def test_option_a_takes_every_second_pixel_and_pads_with_zero_channels() -> None:
    x = torch.randn(2, 16, 8, 8)
    shortcut = OptionAShortcut(16, 32, stride=2)
    y = shortcut(x)
    assert y.shape == (2, 32, 4, 4)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()
    assert list(shortcut.parameters()) == []
    assert torch.equal(OptionAShortcut(16, 16, stride=1)(x), x)


@pytest.mark.parametrize("name", OF_CIFAR_SIZE)
def test_backbones_of_cifar_size_read_other_numbers_of_channels(name: str) -> None:
    with torch.device("meta"):
        net = backbone_entry(name).build(10, (1, 32, 32)).eval()
        assert net(torch.zeros(1, 1, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_torchvisions_networks_read_three_channels(name: str) -> None:
    with pytest.raises(SpecError, match=r"^torchvision's \w+s read 3 channels, got 1$"):
        backbone_entry(name).build(10, (1, 64, 64))


def test_parameters_of_the_densenet() -> None:
    """Section 3 of Huang et al. written out, with 24 channels first where they have 16.

    Theirs has 1.0 M parameters (Table 2).
    """

    def count(first: int) -> int:
        channels, total = first, 3 * 3 * 3 * first
        for block in range(3):
            for _ in range(12):
                total += 2 * channels + 3 * 3 * channels * 12  # batch norm, convolution
                channels += 12
            total += 2 * channels + (channels * channels if block < 2 else 0)  # transition
        return total + channels * 10 + 10

    assert parameters("densenet40_12") == count(24)
    assert round(count(16) / 1e6, 1) == 1.0
    modules = on_meta("densenet40_12").modules()
    assert sum(isinstance(module, (nn.Conv2d, nn.Linear)) for module in modules) == 40


def test_dense_layer_adds_channels_to_what_it_reads() -> None:
    torch.manual_seed(0)
    layer = DenseLayer(24, 12).eval()
    x = torch.randn(2, 24, 8, 8)
    before = x.clone()
    with torch.no_grad():
        y = layer(x)
        assert torch.equal(y[:, 24:], layer.conv(layer.norm(x).relu()))
    assert torch.equal(y[:, :24], before)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["vgg16_bn_cifar", "mobilenet_v2_cifar", "googlenet_cifar"])
def test_cifar_size_differs_from_torchvisions_network_where_it_says(name: str) -> None:
    """Parameters of the convolutions, by the difference to the network for ImageNet."""
    original = {
        "vgg16_bn_cifar": "vgg16_bn",
        "mobilenet_v2_cifar": "mobilenet_v2",
        "googlenet_cifar": "googlenet",
    }[name]
    # the 5x5 path: one more 3x3 convolution with batch norm per Inception module
    more = sum(9 * c * c + 2 * c for c in (32, 96, 48, 64, 64, 64, 128, 128, 128))
    stem = 3 * 9 * 192 + 2 * 192
    stem_of_original = 3 * 49 * 64 + 64 * 64 + 64 * 9 * 192 + 2 * (64 + 64 + 192)
    expected = {"googlenet_cifar": more + stem - stem_of_original}.get(name, 0)

    def in_stages(backbone: str) -> int:
        return sum(value.numel() for value in on_meta(backbone).stages.parameters())

    assert in_stages(name) - in_stages(original) == expected


def test_input_transform_takes_imagenets_normalization_to_that_of_the_weights() -> None:
    """Images as the data sets give them come out with mean and standard deviation 0.5."""
    images = torch.rand(2, 3, 8, 8)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (MEAN[3], STD[3]))
    torch.testing.assert_close(InputTransform()((images - mean) / std), (images - 0.5) / 0.5)


def test_modules_keep_torchvisions_names() -> None:
    keys = on_meta("resnet18").state_dict()
    assert "stages.stage1.body.conv1.weight" in keys
    assert "stages.stage1.body.layer1.0.conv1.weight" in keys
    assert "classifier.fc.weight" in keys
    vgg = on_meta("vgg16").state_dict()
    assert "stages.stage2.body.10.weight" in vgg
    assert "classifier.classifier.6.weight" in vgg
    assert "stages.stage1.body.conv1.conv.weight" in on_meta("googlenet").state_dict()
    assert "stages.stage2.body.4.conv.0.0.weight" in on_meta("mobilenet_v2").state_dict()


def test_stage_bodies_leave_no_module_out() -> None:
    modules = {name: nn.Identity() for name in "abc"}
    bodies = stage_bodies(modules, ("b", "c"))
    assert {name: [*dict(body.named_children())] for name, body in bodies.items()} == {
        "stage1": ["a", "b"],
        "stage2": ["c"],
    }
    with pytest.raises(AssertionError, match="no stage has"):
        stage_bodies(modules, ("a", "b"))


def features(backbone: Backbone, size: tuple[int, int, int]) -> dict[str, FeatureInfo]:
    return MultiExitNet(ModelSpec("of the test", 10, size), backbone).features


def test_features_name_every_tensor_between_stages() -> None:
    assert features(build("resnet18"), (3, 224, 224)) == {
        "images": FeatureInfo("images", (3, 224, 224)),
        "stage1_out": FeatureInfo("stage1_out", (64, 56, 56)),
        "stage2_out": FeatureInfo("stage2_out", (128, 28, 28)),
        "stage3_out": FeatureInfo("stage3_out", (256, 14, 14)),
        "stage4_out": FeatureInfo("stage4_out", (512, 7, 7)),
    }


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [(3, 32, 32), (3, 0, 0)])
def test_the_backbone_is_left_as_it_was(training: bool, size: tuple[int, int, int]) -> None:
    net = build("resnet20").train(training)
    net.stages["stage1"].train(not training)  # such as one that is frozen while the rest trains
    modes = [module.training for module in net.modules()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(SpecError) if size[1] == 0 else nullcontext():
        features(net, size)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_nothing_is_computed_for_the_features() -> None:
    """Images of a million by a million pixels would not fit into any memory."""
    shapes = features(build("resnet20"), (3, 2**20, 2**20))
    assert shapes["stage3_out"].shape == (64, 2**18, 2**18)
