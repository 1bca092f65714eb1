"""Branch classifiers: the paper's SE-B branch of any level, and the naive one (Section IV).

The SE-B branch is variable convolution -> SE-B blocks -> flatten -> fully connected layer. Its
details are fixed by the costs printed in Tables II to IV, which it reproduces exactly.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from edgeexit.errors import SpecError
from edgeexit.models.registry import BranchSite, register_branch
from edgeexit.models.spec import FeatureInfo

__all__ = ["NaiveBranch", "SEBlock", "SEBranch"]

SE_REDUCTION = 16
BOTTLENECK_REDUCTION = 4


class SEBlock(nn.Module):
    """The SE-B block of Fig. 2: a bottleneck with squeeze-and-excitation and a shortcut.

    The shortcut is a 1x1 projection in every block, also where the shape stays.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        width = out_channels // BOTTLENECK_REDUCTION
        self.bottleneck = nn.Sequential(
            nn.Conv2d(in_channels, width, kernel_size=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.excitation = SqueezeExcitation(out_channels, max(1, out_channels // SE_REDUCTION))
        self.shortcut = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H/stride), ceil(W/stride))."""
        main = self.excitation(self.bottleneck(x))
        result: Tensor = self.relu(main + self.shortcut(x))
        return result


class SEBranch(nn.Module):
    """The paper's branch classifier of a given level, the number of its SE-B blocks."""

    def __init__(self, features: FeatureInfo, last: FeatureInfo, level: int, classes: int) -> None:
        super().__init__()
        channels, width = last.shape[0], 2 * last.shape[0]
        self.reduce = nn.Sequential(
            variable_convolution(features, last),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(
            SEBlock(channels, width, stride=2),
            *(SEBlock(width, width, stride=1) for _ in range(level - 1)),
        )
        height, breadth = (math.ceil(size / 2) for size in last.shape[1:])
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(width * height * breadth, classes))

    def forward(self, *features: Tensor) -> Tensor:
        """Map features, of which the last (N, c_m, h_m, w_m) is read, to logits (N, K)."""
        x = self.reduce(features[-1])  # (N, c_last, s, s)
        x = self.blocks(x)  # (N, 2 * c_last, s / 2, s / 2)
        logits: Tensor = self.classifier(x)  # (N, K)
        return logits


class NaiveBranch(nn.Module):
    """Global average pooling and one fully connected layer (Section IV-B)."""

    def __init__(self, features: FeatureInfo, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features.shape[0], classes)
        )

    def forward(self, *features: Tensor) -> Tensor:
        """Map features, of which the last (N, c, h, w) is read, to logits (N, K)."""
        logits: Tensor = self.classifier(features[-1])
        return logits


@register_branch("SE-B of level n", token=r"[1-9][0-9]?", example="3")
def se_branch(site: BranchSite, token: str) -> nn.Module:
    return SEBranch(_feature_map(site), site.last, int(token), site.num_classes)


@register_branch("naive", token="n", example="n")
def naive_branch(site: BranchSite, token: str) -> nn.Module:
    return NaiveBranch(_feature_map(site), site.num_classes)


def variable_convolution(features: FeatureInfo, last: FeatureInfo) -> nn.Conv2d:
    """Return the convolution that brings ``features`` to the size of ``last`` (Section IV-B).

    The kernel is ``3 * sqrt(c_last / c_m)`` so that kernel area times channels stays the same;
    the stride is the ratio of the resolutions. Where that ratio is no whole number, as with
    images of 225 pixels, the padding is what makes the output size exact.

    Raises:
        SpecError: no stride and padding give that output size.
    """
    channels, *size = features.shape
    last_channels, *last_size = last.shape
    kernel = round(3 * math.sqrt(last_channels / channels))
    strides, paddings = zip(
        *(
            _stride_and_padding(features, *sizes, kernel)
            for sizes in zip(size, last_size, strict=True)
        ),
        strict=True,
    )
    return nn.Conv2d(channels, last_channels, kernel, strides, paddings, bias=False)


def _stride_and_padding(
    features: FeatureInfo, size: int, goal: int, kernel: int
) -> tuple[int, int]:
    stride = max(1, round(size / goal))
    for padding in range(kernel):
        if size + 2 * padding >= kernel and (size + 2 * padding - kernel) // stride + 1 == goal:
            return stride, padding
    raise SpecError(
        f"branch on {features.name} {features.shape}: no {kernel}x{kernel} convolution of stride "
        f"{stride} takes {size} pixels to {goal}; use another input size, such as a multiple of 32"
    )


def _feature_map(site: BranchSite) -> FeatureInfo:
    """Return the one feature map that the branch reads.

    Of several scales it is the last, the coarsest, which is what the paper's branches on a
    multi-scale network read.
    """
    features = site.inputs[-1]
    if len(features.shape) != 3:
        raise SpecError(
            f"branch on {features.name}: expected a feature map (channels, height, width), "
            f"got shape {features.shape}"
        )
    return features
