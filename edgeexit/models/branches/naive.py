"""The naive branch: pooled features and a linear layer (Section IV-B)."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from edgeexit.models.layers.common import pooled_linear
from edgeexit.models.registry import BranchSite, register_branch


class TokenBranch(nn.Module):
    """The naive branch on a transformer's tokens: their mean and one fully connected layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(channels, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Map tokens (N, L, c) to logits (N, K)."""
        logits: Tensor = self.classifier(features.mean(dim=1))
        return logits


@register_branch("naive", token="n", example="n")
def naive_branch(site: BranchSite, token: str) -> nn.Module:
    if len(site.features.shape) == 2:
        return TokenBranch(site.features.shape[-1], site.num_classes)
    classifier = pooled_linear(site.feature_map.shape[0], site.num_classes)
    return nn.Sequential(OrderedDict(classifier=classifier))
