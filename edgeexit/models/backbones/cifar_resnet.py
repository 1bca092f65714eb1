"""ResNets for 32x32 images (He et al. 2016, https://arxiv.org/abs/1512.03385, Section 4.2).

Three stages of n basic blocks with 16, 32 and 64 channels, 6n + 2 layers. Shortcuts between
stages have no parameters (option A: every second pixel, zeros for the new channels).

``se_resnet56`` has squeeze-and-excitation at the end of every block's main path (Hu et al. 2018,
https://arxiv.org/abs/1709.01507, Fig. 3).
"""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from edgeexit.models.backbone import Backbone, chained
from edgeexit.models.layers.common import (
    Excitation,
    he_initialized,
    pooled_linear,
    squeeze_excitation,
)
from edgeexit.models.registry import register_backbone

WIDTHS = (16, 32, 64)


class OptionAShortcut(nn.Module):
    """Identity if the shape stays; otherwise subsampling with zero channels on both sides."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.padding = (out_channels - in_channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return x
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.padding, self.padding))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, rescaled by ``excitation``, and a shortcut."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, excitation: Excitation
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.excitation = excitation(out_channels)
        self.shortcut = OptionAShortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        main = F.relu(self.bn1(self.conv1(x)))
        main = self.excitation(self.bn2(self.conv2(main)))
        return F.relu(main + self.shortcut(x))


def _register(name: str, depth: int, excitation: Excitation = nn.Identity) -> None:
    """Register the ResNet of ``depth`` layers."""
    blocks = (depth - 2) // 6

    @register_backbone(name, input_size=(3, 32, 32))
    def build(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
        stem = OrderedDict(
            conv=nn.Conv2d(input_size[0], WIDTHS[0], 3, 1, 1, bias=False),
            bn=nn.BatchNorm2d(WIDTHS[0]),
            relu=nn.ReLU(inplace=True),
        )
        layer1 = _layer(blocks, WIDTHS[0], WIDTHS[0], excitation)
        bodies: dict[str, nn.Module] = {
            "stage1": nn.Sequential(OrderedDict(**stem, layer=layer1)),
            "stage2": _layer(blocks, WIDTHS[0], WIDTHS[1], excitation),
            "stage3": _layer(blocks, WIDTHS[1], WIDTHS[2], excitation),
        }
        return he_initialized(Backbone(chained(bodies), pooled_linear(WIDTHS[2], num_classes)))


def _layer(
    blocks: int, in_channels: int, out_channels: int, excitation: Excitation
) -> nn.Sequential:
    stride = 1 if in_channels == out_channels else 2
    return nn.Sequential(
        BasicBlock(in_channels, out_channels, stride, excitation),
        *(BasicBlock(out_channels, out_channels, 1, excitation) for _ in range(blocks - 1)),
    )


_register("resnet20", 20)
_register("resnet32", 32)
_register("resnet44", 44)
_register("resnet56", 56)
_register("resnet110", 110)
_register("se_resnet56", 56, squeeze_excitation)
