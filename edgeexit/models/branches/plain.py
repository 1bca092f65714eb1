"""The SE-B branch without squeeze-and-excitation, for the ablation of Table IV."""

from __future__ import annotations

from torch import nn

from edgeexit.models.branches.bottleneck import BottleneckBlock, BottleneckBranch
from edgeexit.models.registry import BranchSite, register_branch


def plain_block(in_channels: int, out_channels: int, stride: int) -> BottleneckBlock:
    """Return the SE-B block without its squeeze-and-excitation."""
    return BottleneckBlock(in_channels, out_channels, stride, nn.Identity)


@register_branch("SE-B without SE of level n", token=r"[1-9][0-9]?p", example="3p")
def plain_branch(site: BranchSite, token: str) -> nn.Module:
    level = int(token.removesuffix("p"))
    return BottleneckBranch(site.feature_map, site.last, level, site.num_classes, plain_block)
