"""The paper's SE-B branch (Section IV)."""

from __future__ import annotations

from torch import nn

from edgeexit.models.branches.bottleneck import BottleneckBlock, BottleneckBranch
from edgeexit.models.layers.squeeze_excitation import squeeze_excitation
from edgeexit.models.registry import BranchSite, register_branch


def se_block(in_channels: int, out_channels: int, stride: int) -> BottleneckBlock:
    """Return the SE-B block of Fig. 2: a bottleneck with squeeze-and-excitation and a shortcut."""
    return BottleneckBlock(in_channels, out_channels, stride, squeeze_excitation)


@register_branch("SE-B of level n", token=r"[1-9][0-9]?", example="3")
def se_branch(site: BranchSite, token: str) -> nn.Module:
    return BottleneckBranch(site.feature_map, site.last, int(token), site.num_classes, se_block)
