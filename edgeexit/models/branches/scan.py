"""SCAN's branch (Zhang et al., NeurIPS 2019, https://arxiv.org/abs/1906.03951).

As in the authors' ResNets (https://github.com/ArchipLab-LinfengZhang/pytorch-scalable-neural-networks,
commit aac136e, sresnet.py), but without the bias of convolutions before batch norm, which cancels
it.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import Tensor, nn

from edgeexit.models.layers.common import pooled_linear
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


@register_branch("SCAN's", token="s", example="s")
def scan_branch(site: BranchSite, token: str) -> nn.Module:
    # The bottleneck's output has the shape of the last stage's in the authors' networks: twice the
    # channels of the last branched features at half their resolution. The kernel of its middle
    # convolution is as large as its stride.
    channels, *size = site.feature_map.shape
    width, out_channels = BOTTLENECK_WIDTH, 2 * site.last.shape[0]
    height, breadth = map(_stride, size, site.last.shape[1:])
    attention = Attention(site.features)
    bottleneck = nn.Sequential(
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
    return nn.Sequential(
        OrderedDict(
            attention=attention,  # (N, c, h, w)
            bottleneck=bottleneck,  # (N, 2 * c_last, s / 2, s / 2)
            classifier=pooled_linear(out_channels, site.num_classes),  # (N, K)
        )
    )


def _stride(pixels: int, last_pixels: int) -> int:
    """Return the stride that brings ``pixels`` closest to half of ``last_pixels``."""
    return min(pixels, max(1, round(pixels / math.ceil(last_pixels / 2))))
