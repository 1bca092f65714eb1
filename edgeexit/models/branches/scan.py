"""SCAN's branch (Zhang et al., NeurIPS 2019, https://arxiv.org/abs/1906.03951).

As in the authors' ResNets (https://github.com/ArchipLab-LinfengZhang/pytorch-scalable-neural-networks,
commit aac136e, sresnet.py), but without the bias of convolutions before batch norm, which cancels
it.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from edgeexit.models.registry import BranchSite, register_branch
from edgeexit.models.spec import FeatureInfo

BOTTLENECK_WIDTH = 128


class Attention(nn.Module):
    """A mask of values from 0 to 1 over the features: convolution down, deconvolution up.

    The 4x4 deconvolution of stride 2 restores even sizes exactly. For odd sizes its padding is
    one pixel larger, so that the mask always has the size of the features.
    """

    def __init__(self, features: FeatureInfo) -> None:
        super().__init__()
        channels, *size = features.shape
        odd = [pixels % 2 for pixels in size]
        padding = (1 + odd[0], 1 + odd[1])
        self.mask = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(
                channels,
                channels,
                kernel_size=4,
                stride=2,
                padding=padding,
                output_padding=(odd[0], odd[1]),
                bias=False,
            ),
            nn.BatchNorm2d(channels),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, c, h, w) to the same shape, each value weighted by its mask."""
        weighted: Tensor = features * self.mask(features)
        return weighted


class ScanBranch(nn.Module):
    """Attention, a bottleneck, global average pooling, and one fully connected layer.

    The bottleneck's output has the shape of the last stage's in the authors' networks: twice the
    channels of the last branched features at half their resolution. The kernel of its middle
    convolution is as large as its stride.
    """

    def __init__(self, features: FeatureInfo, last: FeatureInfo, classes: int) -> None:
        super().__init__()
        channels, *size = features.shape
        width, out_channels = BOTTLENECK_WIDTH, 2 * last.shape[0]
        height, breadth = map(_stride, size, last.shape[1:])
        self.attention = Attention(features)
        self.bottleneck = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, (height, breadth), stride=(height, breadth), bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, out_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(out_channels, classes)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, c, h, w) to logits (N, K)."""
        x = self.attention(features)  # (N, c, h, w)
        x = self.bottleneck(x)  # (N, 2 * c_last, s / 2, s / 2)
        logits: Tensor = self.classifier(x)  # (N, K)
        return logits


def _stride(pixels: int, last_pixels: int) -> int:
    """Return the stride that brings ``pixels`` closest to half of ``last_pixels``."""
    return min(pixels, max(1, round(pixels / math.ceil(last_pixels / 2))))


@register_branch("SCAN's", token="s", example="s")
def scan_branch(site: BranchSite, token: str) -> nn.Module:
    return ScanBranch(site.feature_map, site.last, site.num_classes)
