"""Squeeze-and-excitation for branches and SE-ResNets."""

from __future__ import annotations

from torchvision.ops import SqueezeExcitation

REDUCTION = 16


def squeeze_excitation(channels: int) -> SqueezeExcitation:
    """Return the module of Hu et al. 2018 (https://arxiv.org/abs/1709.01507), reduction 16."""
    return SqueezeExcitation(channels, max(1, channels // REDUCTION))
