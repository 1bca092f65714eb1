"""MSDNet's classifier as a branch (Huang et al., ICLR 2018, https://arxiv.org/abs/1703.09844)."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from edgeexit.models.layers.msdnet import classifier
from edgeexit.models.registry import BranchSite, register_branch


@register_branch("MSDNet's, m128 with 128 channels", token=r"m(?:[1-9][0-9]{0,3})?", example="m")
def msdnet_branch(site: BranchSite, token: str) -> nn.Module:
    # The authors keep the number of channels on ImageNet and change it to 128 on CIFAR.
    channels = site.feature_map.shape[0]
    width = int(token.removeprefix("m") or channels)
    return nn.Sequential(OrderedDict(classifier=classifier(channels, width, site.num_classes)))
