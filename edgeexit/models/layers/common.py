"""Layers of several backbones and branches, and how convolutions are initialized."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn
from torchvision.ops import SqueezeExcitation

from edgeexit.models.backbone import Backbone

REDUCTION = 16

Excitation = Callable[[int], nn.Module]
"""Builds the layer that rescales a block's main path, given its number of channels.

:class:`torch.nn.Identity` leaves it out.
"""


def squeeze_excitation(channels: int) -> SqueezeExcitation:
    """Return the module of Hu et al. 2018 (https://arxiv.org/abs/1709.01507), reduction 16."""
    return SqueezeExcitation(channels, max(1, channels // REDUCTION))


def pooled_linear(channels: int, num_classes: int) -> nn.Sequential:
    """Return global average pooling and one fully connected layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def he_initialized(backbone: Backbone, mode: Literal["fan_in", "fan_out"] = "fan_out") -> Backbone:
    """Return ``backbone`` with new weights in its convolutions (https://arxiv.org/abs/1502.01852).

    Biases keep their values.
    """
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
    return backbone
