"""The SE-B branch as the paper's costs fix it, and the naive one."""

from __future__ import annotations

import pytest
import torch
from support.messages import missing
from torch import nn

from edgeexit.errors import SpecError
from edgeexit.models import FeatureInfo
from edgeexit.models.branches.bottleneck import BottleneckBranch
from edgeexit.models.branches.naive import NaiveBranch
from edgeexit.models.branches.plain import plain_block
from edgeexit.models.branches.se import se_block
from edgeexit.models.branches.variable_convolution import variable_convolution
from edgeexit.models.registry import BranchSite, backbone_entry, create_backbone, create_branch

LAST = FeatureInfo("stage3_out", (256, 14, 14))


@pytest.mark.parametrize(
    ("shape", "last", "kernel", "stride", "padding"),
    [
        ((64, 56, 56), (256, 14, 14), 6, 4, 1),
        ((128, 28, 28), (256, 14, 14), 4, 2, 1),
        ((256, 14, 14), (256, 14, 14), 3, 1, 1),
        ((16, 32, 32), (32, 16, 16), 4, 2, 1),
        ((128, 56, 56), (512, 14, 14), 6, 4, 1),  # VGG-16
        ((168, 16, 16), (312, 8, 8), 4, 2, 1),  # DenseNet-40-12
        ((480, 16, 16), (832, 8, 8), 4, 2, 1),  # GoogLeNet
    ],
)
def test_variable_convolution_of_the_paper(
    shape: tuple[int, ...], last: tuple[int, ...], kernel: int, stride: int, padding: int
) -> None:
    convolution = variable_convolution(FeatureInfo("here", shape), FeatureInfo("last", last))
    assert convolution.kernel_size == (kernel, kernel)
    assert convolution.stride == (stride, stride)
    assert convolution.padding == (padding, padding)
    assert convolution.bias is None
    with torch.no_grad():
        assert convolution(torch.zeros(1, *shape)).shape == (1, *last)


def test_variable_convolution_reaches_every_size() -> None:
    """ResNet-18's maps, for every image size that its branches should take."""
    for pixels in range(32, 320):
        sizes = [-(-pixels // factor) for factor in (4, 8, 16)]
        goal = FeatureInfo("last", (256, sizes[-1], sizes[-1]))
        for channels, size in zip((64, 128, 256), sizes, strict=True):
            here = FeatureInfo("here", (channels, size, size))
            with torch.device("meta"):
                convolution = variable_convolution(here, goal)
                output = convolution(torch.empty(1, *here.shape))
            assert output.shape[1:] == goal.shape, f"{pixels} pixels"


def test_convolution_that_cannot_reach_the_size() -> None:
    here, last = FeatureInfo("stage1_out", (64, 1, 1)), FeatureInfo("last", (256, 1, 1))
    with pytest.raises(SpecError) as caught:
        variable_convolution(here, last)
    assert not missing(
        caught.value, "stage1_out (64, 1, 1)", "6x6", "another input size", "multiple of 32"
    )


@pytest.mark.parametrize("level", [1, 2, 4])
@pytest.mark.parametrize("shape", [(64, 56, 56), (128, 28, 28), (256, 14, 14)])
def test_shapes_inside_the_branch(level: int, shape: tuple[int, ...]) -> None:
    branch = BottleneckBranch(FeatureInfo("here", shape), LAST, level, 10, se_block).eval()
    with torch.no_grad():
        reduced = branch.reduce(torch.zeros(1, *shape))
        blocks = [reduced]
        for block in branch.blocks:
            blocks.append(block(blocks[-1]))
    assert reduced.shape == (1, 256, 14, 14)
    assert [tuple(tensor.shape) for tensor in blocks[1:]] == [(1, 512, 7, 7)] * level
    flatten, linear = branch.classifier
    assert isinstance(flatten, nn.Flatten)
    assert (linear.in_features, linear.out_features) == (512 * 7 * 7, 10)


def test_block_of_the_paper() -> None:
    block = se_block(256, 512, stride=2)
    convolutions = [m for m in block.bottleneck if isinstance(m, nn.Conv2d)]
    found = [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions]
    assert found == [(256, 128, 1, 1), (128, 128, 3, 2), (128, 512, 1, 1)]
    assert (block.excitation.fc1.out_channels, block.excitation.fc2.out_channels) == (32, 512)
    shortcut = block.shortcut[0]
    assert (shortcut.kernel_size, shortcut.stride) == ((1, 1), (2, 2))
    kinds = [type(module) for module in block.bottleneck]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2 + [nn.Conv2d, nn.BatchNorm2d]


def test_block_that_keeps_its_shape_has_a_projection_too() -> None:
    shortcut = se_block(64, 64, stride=1).shortcut[0]
    assert isinstance(shortcut, nn.Conv2d)
    assert shortcut.weight.shape == (64, 64, 1, 1)


def test_block_adds_the_excited_bottleneck_to_the_shortcut() -> None:
    torch.manual_seed(0)
    block = se_block(16, 32, stride=2).eval()
    x = torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        main = block.bottleneck(x)
        squeezed = main.mean((2, 3), keepdim=True)
        scale = block.excitation.fc2(block.excitation.fc1(squeezed).relu()).sigmoid()
        expected = (main * scale + block.shortcut(x)).relu()
        torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_block_without_se_is_the_se_block_less_its_excitation(stride: int) -> None:
    torch.manual_seed(0)
    excited, plain = se_block(16, 32, stride).eval(), plain_block(16, 32, stride).eval()
    shared = {name: value for name, value in excited.state_dict().items() if "excit" not in name}
    assert list(plain.state_dict()) == list(shared)
    plain.load_state_dict(shared)
    x = torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        assert torch.equal(plain(x), (excited.bottleneck(x) + excited.shortcut(x)).relu())
        assert not torch.allclose(plain(x), excited(x))


@pytest.mark.parametrize("level", [1, 3, 12])
def test_token_p_is_the_branch_of_that_level_without_se(level: int) -> None:
    site = BranchSite(FeatureInfo("here", (16, 8, 8)), FeatureInfo("last", (32, 4, 4)), 10)
    plain, excited = create_branch(f"{level}p", site), create_branch(str(level), site)
    assert len(plain.blocks) == level
    own = {name: value.shape for name, value in plain.state_dict().items()}
    others = {name: value.shape for name, value in excited.state_dict().items()}
    assert own == {name: shape for name, shape in others.items() if "excitation" not in name}
    assert len(others) == len(own) + 4 * level  # weight and bias of two layers


@pytest.mark.parametrize("level", [1, 3, 12])
def test_token_g_is_the_branch_of_that_level_with_pooled_features(level: int) -> None:
    site = BranchSite(FeatureInfo("here", (16, 8, 8)), FeatureInfo("last", (32, 4, 4)), 10)
    pooled, flat = create_branch(f"{level}g", site).eval(), create_branch(str(level), site).eval()
    shared = {name: value for name, value in flat.state_dict().items() if "classifier" not in name}
    missing, unexpected = pooled.load_state_dict(shared, strict=False)
    assert not unexpected
    assert all(name.startswith("classifier.") for name in missing)
    x = torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        features = flat.blocks(flat.reduce(x))  # (2, 64, 2, 2)
        linear = pooled.classifier[-1]
        assert (linear.in_features, flat.classifier[-1].in_features) == (64, 64 * 2 * 2)
        torch.testing.assert_close(pooled(x), linear(features.mean((2, 3))))


def test_naive_branch_is_pooling_and_one_layer() -> None:
    branch = NaiveBranch(FeatureInfo("here", (64, 56, 56)), classes=10)
    x = torch.randn(2, 64, 56, 56)
    linear = branch.classifier[-1]
    torch.testing.assert_close(branch(x), linear(x.mean((2, 3))))
    assert sum(value.numel() for value in branch.parameters()) == 64 * 10 + 10


BRANCHED_MAPS = {
    "resnet18": [(64, 56, 56), (128, 28, 28), (256, 14, 14)],
    "vgg16_bn": [(128, 56, 56), (256, 28, 28), (512, 14, 14)],
    "googlenet": [(192, 28, 28), (480, 14, 14), (832, 7, 7)],
    "mobilenet_v2": [(24, 56, 56), (32, 28, 28), (96, 14, 14)],
    "resnet56": [(16, 32, 32), (32, 16, 16)],
    "densenet40_12": [(168, 16, 16), (312, 8, 8)],
    "googlenet_cifar": [(480, 16, 16), (832, 8, 8)],
    "vgg16_bn_cifar": [(128, 8, 8), (256, 4, 4), (512, 2, 2)],
    "mobilenet_v2_cifar": [(24, 32, 32), (32, 16, 16), (96, 8, 8)],
}


@pytest.mark.parametrize("name", BRANCHED_MAPS)
def test_branches_sit_where_the_paper_puts_them(name: str) -> None:
    size = backbone_entry(name).input_size
    with torch.device("meta"):  # shapes are enough
        backbone = create_backbone(name, 10, size).eval()
        features = backbone.extract(torch.empty(1, *size))
    found = [tuple(features[f"{stage}_out"].shape[1:]) for stage in backbone.exit_stages]
    assert found == BRANCHED_MAPS[name]


@pytest.mark.parametrize(
    ("token", "shape"), [("n", (768,)), ("2", (197, 768)), ("2p", (197, 768)), ("2g", (768,))]
)
def test_branch_on_something_that_is_no_feature_map(token: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        create_branch(token, BranchSite(FeatureInfo("tokens", shape), LAST, 10))
    expected = "expected a feature map (channels, height, width)"
    assert not missing(caught.value, "tokens", expected, f"got shape {shape}", "naive branch, n")


def test_naive_branch_on_tokens_is_the_linear_layer_of_their_mean() -> None:
    tokens = FeatureInfo("tokens", (17, 8))
    branch = create_branch("n", BranchSite(tokens, tokens, 5))
    values = torch.randn(2, 17, 8)
    (linear,) = (module for module in branch.modules() if isinstance(module, nn.Linear))
    torch.testing.assert_close(branch(values), linear(values.sum(1) / 17))
