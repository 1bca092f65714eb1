"""The branches of MSDNet and SCAN, against their definitions written out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from edgeexit.errors import SpecError
from edgeexit.models import FeatureInfo, MultiExitNet, make_spec
from edgeexit.models.branches.msdnet import MSDNetBranch
from edgeexit.models.branches.scan import Attention, ScanBranch
from edgeexit.models.registry import BranchSite, branch_entry, create_branch

FIRST, LAST = FeatureInfo("stage1_out", (64, 56, 56)), FeatureInfo("stage3_out", (256, 14, 14))
SIZES = [(1, 1), (2, 2), (3, 5), (4, 4), (7, 7), (8, 8), (9, 6), (28, 28)]
TOKENS = ["m", "m128", "s"]


def branch(token: str, features: FeatureInfo, last: FeatureInfo = LAST) -> nn.Module:
    torch.manual_seed(0)
    return create_branch(token, BranchSite(features, last, num_classes=10))


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


@pytest.mark.parametrize("token", TOKENS)
def test_samples_do_not_see_each_other(token: str) -> None:
    module = with_statistics(branch(token, FeatureInfo("here", (12, 7, 8))))
    x = torch.randn(4, 12, 7, 8)
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("token", TOKENS)
def test_branch_on_something_that_is_no_feature_map(token: str) -> None:
    expected = r"branch on tokens: expected a feature map .*, got shape \(197, 768\)"
    with pytest.raises(SpecError, match=expected):
        branch(token, FeatureInfo("tokens", (197, 768)))


@pytest.mark.parametrize("token", ["m0", "m01", "m-1", "m12345", "mm", "M", "s2", "S", "sm"])
def test_tokens_that_mean_neither(token: str) -> None:
    with pytest.raises(SpecError, match=f"unknown branch '{token}' in the pattern"):
        branch_entry(token)


def test_the_message_for_an_unknown_branch_shows_both() -> None:
    with pytest.raises(SpecError) as caught:
        branch_entry("x")
    assert "m (MSDNet's, m128 with 128 channels)" in str(caught.value)
    assert "s (SCAN's)" in str(caught.value)


def test_all_kinds_of_branch_on_one_network() -> None:
    torch.manual_seed(0)
    net = MultiExitNet(make_spec("resnet18", "m+s+n", 10, (3, 64, 64)))
    logits = net(torch.randn(2, 3, 64, 64))
    assert {name: tuple(value.shape) for name, value in logits.items()} == {
        "exit1": (2, 10),
        "exit2": (2, 10),
        "exit3": (2, 10),
        "final": (2, 10),
    }


@pytest.mark.parametrize(("token", "width"), [("m", 64), ("m128", 128), ("m7", 7)])
def test_msdnet_branch_by_hand(token: str, width: int) -> None:
    """On ResNet-18's first branching point, 64x56x56, as in Table VI."""
    expected_macs = 28 * 28 * width * 64 * 9 + 14 * 14 * width * width * 9 + width * 10
    expected_parameters = width * 64 * 9 + width * width * 9 + 2 * 2 * width + width * 10 + 10
    assert macs(token, FIRST, LAST) == expected_macs
    assert count(branch(token, FIRST)) == expected_parameters


@pytest.mark.parametrize("pixels", [8, 7, 13])
def test_msdnet_branch_is_what_its_authors_define(pixels: int) -> None:
    module = with_statistics(MSDNetBranch(FeatureInfo("here", (6, pixels, pixels)), 9, classes=4))
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
    module = ScanBranch(FeatureInfo("here", shape), last, classes=100)
    assert count(module) == parameters


@pytest.mark.parametrize("pixels", [8, 7])
def test_scan_branch_is_what_its_authors_define(pixels: int) -> None:
    here, last = FeatureInfo("here", (6, pixels, pixels)), FeatureInfo("last", (5, 4, 4))
    module = with_statistics(ScanBranch(here, last, classes=4))
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


@pytest.mark.parametrize("size", SIZES)
def test_attention_weighs_every_value_between_0_and_1(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    attention = with_statistics(Attention(FeatureInfo("here", (3, *size))))
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        mask, weighted = attention.mask(x), attention(x)
    assert mask.shape == weighted.shape == x.shape
    assert bool(((mask > 0) & (mask < 1)).all())
    assert torch.equal(weighted, x * mask)
