"""DenseNet for 32x32 images (Huang et al. 2017, https://arxiv.org/abs/1608.06993).

Three dense blocks, a transition after each of the first two, no bottlenecks and no compression.
Branches read the pooled output of a transition, 168x16x16 and 312x8x8, as follows from the costs
of Table III. The costs also imply a first convolution of 24 channels, twice the growth rate; the
16 of Huang et al.'s Section 4.2 would give 160 and 304.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from edgeexit.models.backbone import Backbone, chained
from edgeexit.models.layers.common import he_initialized, pooled_linear
from edgeexit.models.registry import register_backbone

BLOCKS = 3


class DenseLayer(nn.Module):
    """Batch norm, ReLU and a 3x3 convolution whose result is appended to the channels."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(in_channels, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, in_channels + growth, H, W)."""
        return torch.cat((x, self.conv(self.relu(self.norm(x)))), dim=1)


def _transition(channels: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        norm=nn.BatchNorm2d(channels),
        relu=nn.ReLU(inplace=True),
        conv=nn.Conv2d(channels, channels, 1, bias=False),
        pool=nn.AvgPool2d(2),
    )


def _densenet(depth: int, growth: int, num_classes: int, in_channels: int) -> Backbone:
    layers = (depth - BLOCKS - 1) // BLOCKS  # first convolution, transitions, linear layer
    channels = 2 * growth
    stem = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    bodies: dict[str, nn.Module] = {}
    for block in range(1, BLOCKS + 1):
        modules = OrderedDict[str, nn.Module](stem=stem) if block == 1 else OrderedDict()
        for layer in range(1, layers + 1):
            modules[f"layer{layer}"] = DenseLayer(channels, growth)
            channels += growth
        if block < BLOCKS:
            modules["transition"] = nn.Sequential(_transition(channels))
        else:
            modules["norm"], modules["relu"] = nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        bodies[f"stage{block}"] = nn.Sequential(modules)
    backbone = Backbone(chained(bodies), pooled_linear(channels, num_classes))
    return he_initialized(backbone, mode="fan_in")


@register_backbone(input_size=(3, 32, 32))
def densenet40_12(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    return _densenet(40, 12, num_classes, input_size[0])
