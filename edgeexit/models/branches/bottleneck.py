"""The paper's SE-B branch, and two variants of it (Section IV, Fig. 2).

A branch is variable convolution -> blocks -> flatten -> fully connected layer. Its details follow
from the costs printed in Tables II to IV, which it reproduces exactly.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import Tensor, nn

from edgeexit.errors import SpecError
from edgeexit.models.layers.common import Excitation, squeeze_excitation
from edgeexit.models.registry import BranchSite, register_branch
from edgeexit.models.spec import FeatureInfo

BOTTLENECK_REDUCTION = 4


class BottleneckBlock(nn.Module):
    """A bottleneck, rescaled by the layer that ``excitation`` builds, and a shortcut.

    The shortcut is a 1x1 projection in every block, even if the shape stays the same.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, excitation: Excitation
    ) -> None:
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
        self.excitation = excitation(out_channels)
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


@register_branch("SE-B of level n", token=r"[1-9][0-9]?", example="3")
def se_branch(site: BranchSite, token: str) -> nn.Module:
    """The paper's SE-B branch (Section IV)."""
    return _branch(site, int(token), squeeze_excitation)


@register_branch("SE-B without SE of level n", token=r"[1-9][0-9]?p", example="3p")
def plain_branch(site: BranchSite, token: str) -> nn.Module:
    """The SE-B branch without squeeze-and-excitation, for the ablation of Table IV."""
    return _branch(site, int(token.removesuffix("p")), nn.Identity)


@register_branch("SE-B of level n, pooled", token=r"[1-9][0-9]?g", example="3g")
def pooled_branch(site: BranchSite, token: str) -> nn.Module:
    """The SE-B branch with pooled features: a small classifier for devices of low memory bandwidth.

    The paper's branch flattens its last features. On ResNet-18, its linear layer has 25 million
    weights, 100 MB in FP32, which are read for every image. Global average pooling before it, as in
    the backbone, makes the layer ``height * width`` times smaller, 49 times on ResNet-18.
    """
    return _branch(site, int(token.removesuffix("g")), squeeze_excitation, pooled=True)


def _branch(
    site: BranchSite, level: int, excitation: Excitation, *, pooled: bool = False
) -> nn.Module:
    """Return the classifier of features (N, c_m, h_m, w_m); ``level`` is its number of blocks."""
    channels, *size = site.last.shape
    width = 2 * channels
    pixels = 1 if pooled else math.prod(math.ceil(side / 2) for side in size)
    reduce = nn.Sequential(
        variable_convolution(site.feature_map, site.last),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
    blocks = nn.Sequential(
        BottleneckBlock(channels, width, 2, excitation),
        *(BottleneckBlock(width, width, 1, excitation) for _ in range(level - 1)),
    )
    pooling = [nn.AdaptiveAvgPool2d(1)] if pooled else []
    linear = nn.Linear(width * pixels, site.num_classes)
    return nn.Sequential(
        OrderedDict(
            reduce=reduce,  # (N, c_last, s, s)
            blocks=blocks,  # (N, 2 * c_last, s / 2, s / 2)
            classifier=nn.Sequential(*pooling, nn.Flatten(), linear),  # (N, K)
        )
    )


def variable_convolution(features: FeatureInfo, last: FeatureInfo) -> nn.Conv2d:
    """Return the convolution that brings ``features`` to the size of ``last`` (Section IV-B).

    The kernel size is ``3 * sqrt(c_last / c_m)``, which keeps kernel area times channels constant.
    The stride is the ratio of the resolutions. If that is not an integer, as with images of 225
    pixels, the padding makes the output size exact. An even kernel cannot keep the size; if the
    size stays the same, as between MSDNet's exits, the nearest odd kernel is used.

    Raises:
        SpecError: no padding gives that output size.
    """
    channels, *size = features.shape
    last_channels, *last_size = last.shape
    exact = 3 * math.sqrt(last_channels / channels)
    kernel = round(exact)
    odd = 1 + 2 * round((exact - 1) / 2)
    # a wider kernel would have weights that only ever see padding
    if any(odd <= 2 * here - 1 for here, goal in zip(size, last_size, strict=True) if here == goal):
        kernel = odd
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
