"""The SE-B branch with pooled features: a small classifier for devices of low memory bandwidth.

The paper's branch flattens its last features. On ResNet-18, its linear layer has 25 million
weights, 100 MB in FP32, which are read for every image. Global average pooling before it, as in
the backbone, makes the layer ``height * width`` times smaller, 49 times on ResNet-18.
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
