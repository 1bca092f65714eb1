"""MSDNet's classifier as a branch (Huang et al., ICLR 2018, https://arxiv.org/abs/1703.09844)."""

from __future__ import annotations

from torch import Tensor, nn

from edgeexit.models.layers.msdnet import classifier
from edgeexit.models.registry import BranchSite, register_branch
from edgeexit.models.spec import FeatureInfo


class MSDNetBranch(nn.Module):
    """Two 3x3 convolutions of stride 2, average pooling, and one fully connected layer.

    The authors keep the number of channels on ImageNet and change it to 128 on CIFAR. The token
    ``m`` keeps it; ``m128`` changes it to 128, and likewise for any other number.
    """

    def __init__(self, features: FeatureInfo, width: int | None, classes: int) -> None:
        super().__init__()
        channels = features.shape[0]
        self.classifier = classifier(channels, width or channels, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, c, h, w) to logits (N, K)."""
        logits: Tensor = self.classifier(features)
        return logits


@register_branch("MSDNet's, m128 with 128 channels", token=r"m(?:[1-9][0-9]{0,3})?", example="m")
def msdnet_branch(site: BranchSite, token: str) -> nn.Module:
    width = int(token[1:]) if len(token) > 1 else None
    return MSDNetBranch(site.feature_map, width, site.num_classes)
