"""The block and the branch shared by SE-B and its ablation (Section IV, Fig. 2).

A branch is variable convolution -> blocks -> flatten -> fully connected layer. Its details follow
from the costs printed in Tables II to IV, which it reproduces exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from edgeexit.models.branches.variable_convolution import variable_convolution
from edgeexit.models.spec import FeatureInfo

BOTTLENECK_REDUCTION = 4

Excitation = Callable[[int], nn.Module]
"""Builds the layer that rescales a bottleneck's output, given its number of channels."""

Block = Callable[[int, int, int], nn.Module]
"""Builds a block from its input channels, output channels and stride."""


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


class BottleneckBranch(nn.Module):
    """The paper's branch classifier; its level is the number of blocks.

    With ``pooled``, the fully connected layer reads the mean of the features.
    """

    def __init__(
        self,
        features: FeatureInfo,
        last: FeatureInfo,
        level: int,
        classes: int,
        block: Block,
        *,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        channels, width = last.shape[0], 2 * last.shape[0]
        self.reduce = nn.Sequential(
            variable_convolution(features, last),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(
            block(channels, width, 2), *(block(width, width, 1) for _ in range(level - 1))
        )
        pooling = [nn.AdaptiveAvgPool2d(1)] if pooled else []
        pixels = 1 if pooled else math.prod(math.ceil(size / 2) for size in last.shape[1:])
        self.classifier = nn.Sequential(*pooling, nn.Flatten(), nn.Linear(width * pixels, classes))

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, c_m, h_m, w_m) to logits (N, K)."""
        x = self.reduce(features)  # (N, c_last, s, s)
        x = self.blocks(x)  # (N, 2 * c_last, s / 2, s / 2)
        logits: Tensor = self.classifier(x)  # (N, K)
        return logits
