"""The branches of MSDNet and SCAN, against their definitions written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from edgeexit.models import FeatureInfo
from edgeexit.models.registry import BranchSite, create_branch

FIRST, LAST = FeatureInfo("stage1_out", (64, 56, 56)), FeatureInfo("stage3_out", (256, 14, 14))
SIZES = [(1, 1), (2, 2), (3, 5), (4, 4), (7, 7), (8, 8), (9, 6), (28, 28)]
TOKENS = ["m", "m128", "s"]


def branch(
    token: str, features: FeatureInfo, last: FeatureInfo = LAST, classes: int = 10
) -> nn.Module:
    torch.manual_seed(0)
    return create_branch(token, BranchSite(features, last, classes))


def macs(token: str, features: FeatureInfo, last: FeatureInfo) -> int:
    with FakeTensorMode(), torch.no_grad():
        module = branch(token, features, last).eval()
        with FlopCounterMode(display=False) as counter:
            module(torch.empty(1, *features.shape))
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
    return module.eval()


def batch_norm(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    mean, variance, scale, shift = (
        value.view(1, -1, 1, 1)
        for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("token", TOKENS)
def test_logits_from_features_of_any_size(token: str, size: tuple[int, int]) -> None:
    features = FeatureInfo("here", (12, *size))
    last = FeatureInfo("last", (20, *(-(-pixels // 2) for pixels in size)))
    module = branch(token, features, last)
    logits = module(torch.randn(3, *features.shape))
    assert logits.shape == (3, 10)
    logits.square().sum().backward()
    assert [name for name, value in module.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(("token", "width"), [("m", 64), ("m128", 128), ("m7", 7)])
def test_msdnet_branch_by_hand(token: str, width: int) -> None:
    """On ResNet-18's first branching point, 64x56x56, as in Table VI."""
    expected_macs = 28 * 28 * width * 64 * 9 + 14 * 14 * width * width * 9 + width * 10
    expected_parameters = width * 64 * 9 + width * width * 9 + 2 * 2 * width + width * 10 + 10
    assert macs(token, FIRST, LAST) == expected_macs
    assert count(branch(token, FIRST)) == expected_parameters


@pytest.mark.parametrize("pixels", [8, 7, 13])
def test_msdnet_branch_is_what_its_authors_define(pixels: int) -> None:
    module = with_statistics(branch("m9", FeatureInfo("here", (6, pixels, pixels))))
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
    here = FeatureInfo("here", shape)
    assert macs("s", here, LAST) == attention + bottleneck + 512 * 10
    norms = 2 * (c + c + 128 + 128 + 512)
    weights = 25 * c * c + c * 128 + 128 * 128 * stride**2 + 128 * 512 + 512 * 10
    assert count(branch("s", here)) == weights + norms + 10


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
    last = FeatureInfo("last", (256, 8, 8))
    module = branch("s", FeatureInfo("here", shape), last, classes=100)
    assert count(module) == parameters


@pytest.mark.parametrize("pixels", [8, 7])
def test_scan_branch_is_what_its_authors_define(pixels: int) -> None:
    here, last = FeatureInfo("here", (6, pixels, pixels)), FeatureInfo("last", (5, 4, 4))
    module = with_statistics(branch("s", here, last))
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
