"""The SE-B branch with pooled features: a classifier of few bytes, for devices where they cost.

The paper's branch flattens its last features, so that on ResNet-18 its linear layer is 25 million
weights, 100 MB in FP32, that are read for every image. Here global average pooling comes first, as
in the backbone itself, and the layer is ``height * width`` times smaller, 49 times there.
"""

from __future__ import annotations

from torch import nn

from edgeexit.models.branches.bottleneck import BottleneckBranch
from edgeexit.models.branches.se import se_block
from edgeexit.models.registry import BranchSite, register_branch


@register_branch("SE-B of level n, pooled", token=r"[1-9][0-9]?g", example="3g")
def pooled_branch(site: BranchSite, token: str) -> nn.Module:
    level = int(token.removesuffix("g"))
    classes = site.num_classes
    return BottleneckBranch(site.feature_map, site.last, level, classes, se_block, pooled=True)
