"""The SE-B branch as the paper's costs fix it, the naive one, and those of MSDNet and SCAN."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support.messages import missing
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from edgeexit.errors import SpecError
from edgeexit.models import FeatureInfo
from edgeexit.models.branches.bottleneck import variable_convolution
from edgeexit.models.registry import BranchSite, backbone_entry, create_branch

FIRST, LAST = (64, 56, 56), FeatureInfo("stage3_out", (256, 14, 14))
SMALL_LAST = FeatureInfo("last", (32, 4, 4))
TOKENS = ("2", "2p", "2g", "m", "m128", "s")


def branch(
    token: str,
    shape: tuple[int, ...] = (16, 8, 8),
    last: FeatureInfo = SMALL_LAST,
    classes: int = 10,
) -> nn.Module:
    torch.manual_seed(0)
    return create_branch(token, BranchSite(FeatureInfo("here", shape), last, classes)).eval()


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
        ((384, 7, 7), (304, 7, 7), 3, 1, 1),  # MSDNet for ImageNet
        ((100, 8, 8), (200, 8, 8), 5, 1, 2),  # one size, which a kernel of 4 would not keep
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


@pytest.mark.parametrize("level", [1, 2, 4])
@pytest.mark.parametrize("shape", [(64, 56, 56), (128, 28, 28), (256, 14, 14)])
def test_shapes_inside_the_branch(level: int, shape: tuple[int, ...]) -> None:
    net = branch(str(level), shape, LAST)
    with torch.no_grad():
        reduced = net.reduce(torch.zeros(1, *shape))
        blocks = [reduced]
        for block in net.blocks:
            blocks.append(block(blocks[-1]))
    assert reduced.shape == (1, 256, 14, 14)
    assert [tuple(tensor.shape) for tensor in blocks[1:]] == [(1, 512, 7, 7)] * level
    flatten, linear = net.classifier
    assert isinstance(flatten, nn.Flatten)
    assert (linear.in_features, linear.out_features) == (512 * 7 * 7, 10)


def test_block_of_the_paper() -> None:
    first, second = branch("2", (256, 14, 14), LAST).blocks
    convolutions = [m for m in first.bottleneck if isinstance(m, nn.Conv2d)]
    found = [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions]
    assert found == [(256, 128, 1, 1), (128, 128, 3, 2), (128, 512, 1, 1)]
    assert (first.excitation.fc1.out_channels, first.excitation.fc2.out_channels) == (32, 512)
    shortcut = first.shortcut[0]
    assert (shortcut.kernel_size, shortcut.stride) == ((1, 1), (2, 2))
    kinds = [type(module) for module in first.bottleneck]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2 + [nn.Conv2d, nn.BatchNorm2d]
    projection = second.shortcut[0]  # though the shape stays the same
    assert isinstance(projection, nn.Conv2d)
    assert projection.weight.shape == (512, 512, 1, 1)


def test_block_adds_the_excited_bottleneck_to_the_shortcut() -> None:
    (block,), (plain,) = branch("1").blocks, branch("1p").blocks
    shared = {name: value for name, value in block.state_dict().items() if "excit" not in name}
    plain.load_state_dict(shared)
    x = torch.randn(2, 32, 4, 4)
    with torch.no_grad():
        main, shortcut = block.bottleneck(x), block.shortcut(x)
        squeezed = main.mean((2, 3), keepdim=True)
        scale = block.excitation.fc2(block.excitation.fc1(squeezed).relu()).sigmoid()
        torch.testing.assert_close(block(x), (main * scale + shortcut).relu())
        assert torch.equal(plain(x), (main + shortcut).relu())


@pytest.mark.parametrize("level", [1, 3, 12])
def test_token_p_is_the_branch_of_that_level_without_se(level: int) -> None:
    plain, excited = branch(f"{level}p"), branch(str(level))
    assert len(plain.blocks) == level
    own = {name: value.shape for name, value in plain.state_dict().items()}
    others = {name: value.shape for name, value in excited.state_dict().items()}
    assert own == {name: shape for name, shape in others.items() if "excitation" not in name}
    assert len(others) == len(own) + 4 * level  # weight and bias of two layers


@pytest.mark.parametrize("level", [1, 3, 12])
def test_token_g_is_the_branch_of_that_level_with_pooled_features(level: int) -> None:
    pooled, flat = branch(f"{level}g"), branch(str(level))
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


@pytest.mark.parametrize(("shape", "pooled"), [((64, 9, 7), (2, 3)), ((17, 64), 1)])
def test_naive_branch_is_pooling_and_one_layer(
    shape: tuple[int, ...], pooled: int | tuple[int, ...]
) -> None:
    net = branch("n", shape)
    (linear,) = (module for module in net.modules() if isinstance(module, nn.Linear))
    x = torch.randn(2, *shape)
    torch.testing.assert_close(net(x), linear(x.mean(pooled)))
    assert count(net) == 64 * 10 + 10


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
        backbone = backbone_entry(name).build(10, size).eval()
        features = backbone.extract(torch.empty(1, *size))
    found = [tuple(features[f"{stage}_out"].shape[1:]) for stage in backbone.exit_stages]
    assert found == BRANCHED_MAPS[name]


@pytest.mark.parametrize(
    ("token", "shape"), [("n", (768,)), *((token, (197, 768)) for token in TOKENS)]
)
def test_branch_on_something_that_is_no_feature_map(token: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        branch(token, shape)
    expected = "expected a feature map (channels, height, width)"
    assert not missing(caught.value, "here", expected, f"got shape {shape}", "naive branch, n")


# MSDNet's and SCAN's, against their definitions written out


def macs(token: str, shape: tuple[int, ...]) -> int:
    with FakeTensorMode(), torch.no_grad():
        module = branch(token, shape, LAST)
        with FlopCounterMode(display=False) as counter:
            module(torch.empty(1, *shape))
    return int(counter.get_total_flops()) // 2


def count(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def with_statistics(module: nn.Module) -> nn.Module:
    """Give every batch norm values of its own, so that leaving one out shows."""
    torch.manual_seed(1)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            nn.init.normal_(child.running_mean)
            nn.init.uniform_(child.running_var, 0.5, 2)
            nn.init.uniform_(child.weight, 0.5, 2)
            nn.init.normal_(child.bias)
    return module


def batch_norm(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    mean, variance, scale, shift = (
        value.view(1, -1, 1, 1)
        for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (4, 4), (7, 7), (8, 8), (9, 6), (28, 28)])
@pytest.mark.parametrize("token", ["m", "m128", "s"])
def test_logits_from_features_of_any_size(token: str, size: tuple[int, int]) -> None:
    last = FeatureInfo("last", (20, *(-(-pixels // 2) for pixels in size)))
    module = branch(token, (12, *size), last).train()
    logits = module(torch.randn(3, 12, *size))
    assert logits.shape == (3, 10)
    logits.square().sum().backward()
    assert [name for name, value in module.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(("token", "width"), [("m", 64), ("m128", 128), ("m7", 7)])
def test_msdnet_branch_by_hand(token: str, width: int) -> None:
    """On ResNet-18's first branching point, 64x56x56, as in Table VI."""
    expected_macs = 28 * 28 * width * 64 * 9 + 14 * 14 * width * width * 9 + width * 10
    expected_parameters = width * 64 * 9 + width * width * 9 + 2 * 2 * width + width * 10 + 10
    assert macs(token, FIRST) == expected_macs
    assert count(branch(token, FIRST, LAST)) == expected_parameters


@pytest.mark.parametrize("pixels", [8, 7, 13])
def test_msdnet_branch_is_what_its_authors_define(pixels: int) -> None:
    module = with_statistics(branch("m9", (6, pixels, pixels)))
    (conv1, norm1, _), (conv2, norm2, _) = module.classifier.conv1, module.classifier.conv2
    x = torch.randn(2, 6, pixels, pixels)
    y = batch_norm(F.conv2d(x, conv1.weight, stride=2, padding=1), norm1).relu()
    y = batch_norm(F.conv2d(y, conv2.weight, stride=2, padding=1), norm2).relu()
    linear = module.classifier.linear
    expected = y.mean((2, 3)) @ linear.weight.T + linear.bias
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "stride"), [((64, 56, 56), 8), ((128, 28, 28), 4), ((256, 14, 14), 2)]
)
def test_scan_branch_by_hand(shape: tuple[int, int, int], stride: int) -> None:
    """On ResNet-18's branching points: the large convolution ends in 7x7, as does the network."""
    c, s, _ = shape
    attention = (s // 2) ** 2 * (9 + 16) * c * c  # a deconvolution costs its inputs' pixels
    bottleneck = s * s * c * 128 + 7 * 7 * (128 * 128 * stride**2 + 128 * 512)
    assert macs("s", shape) == attention + bottleneck + 512 * 10
    norms = 2 * (c + c + 128 + 128 + 512)
    weights = 25 * c * c + c * 128 + 128 * 128 * stride**2 + 128 * 512 + 512 * 10
    assert count(branch("s", shape, LAST)) == weights + norms + 10


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [((64, 32, 32), 1_277_796), ((128, 16, 16), 807_012), ((256, 8, 8), 1_856_100)],
)
def test_scan_branch_has_the_parameters_of_its_authors(
    shape: tuple[int, int, int], parameters: int
) -> None:
    """Attention, bottleneck and linear layer of their ResNet-18 for CIFAR-100 (sresnet.py).

    https://github.com/ArchipLab-LinfengZhang/pytorch-scalable-neural-networks, commit aac136e;
    the biases of convolutions, which are all followed by batch norm, are not counted.
    """
    module = branch("s", shape, FeatureInfo("last", (256, 8, 8)), classes=100)
    assert count(module) == parameters


@pytest.mark.parametrize("pixels", [8, 7])
def test_scan_branch_is_what_its_authors_define(pixels: int) -> None:
    module = with_statistics(branch("s", (6, pixels, pixels), FeatureInfo("last", (5, 4, 4))))
    x = torch.randn(2, 6, pixels, pixels)
    down, norm1, _, up, norm2, _ = module.attention.mask
    mask = batch_norm(F.conv2d(x, down.weight, stride=2, padding=1), norm1).relu()
    mask = F.conv_transpose2d(mask, up.weight, stride=2)  # without padding: pixels on every side
    border = 1 if pixels % 2 == 0 else 2
    mask = mask[:, :, border : border + pixels, border : border + pixels]
    y = x * batch_norm(mask, norm2).sigmoid()
    large = 4  # to half of 4 pixels, from 8 or from 7
    for index, stride in ((0, 1), (3, large), (6, 1)):
        convolution, norm = module.bottleneck[index], module.bottleneck[index + 1]
        assert convolution.stride == (stride, stride)
        y = batch_norm(F.conv2d(y, convolution.weight, stride=stride), norm).relu()
    linear = module.classifier[-1]
    expected = y.mean((2, 3)) @ linear.weight.T + linear.bias
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-4)
