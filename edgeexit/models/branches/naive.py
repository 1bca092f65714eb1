"""The naive branch: pooled features and a linear layer (Section IV-B)."""

from __future__ import annotations

from torch import Tensor, nn

from edgeexit.models.registry import BranchSite, register_branch
from edgeexit.models.spec import FeatureInfo


class NaiveBranch(nn.Module):
    """Global average pooling and one fully connected layer (Section IV-B)."""

    def __init__(self, features: FeatureInfo, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features.shape[0], classes)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, c, h, w) to logits (N, K)."""
        logits: Tensor = self.classifier(features)
        return logits


class TokenBranch(nn.Module):
    """The naive branch on a transformer's tokens: their mean and one fully connected layer."""

    def __init__(self, features: FeatureInfo, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(features.shape[-1], classes)

    def forward(self, features: Tensor) -> Tensor:
        """Map tokens (N, L, c) to logits (N, K)."""
        logits: Tensor = self.classifier(features.mean(dim=1))
        return logits


@register_branch("naive", token="n", example="n")
def naive_branch(site: BranchSite, token: str) -> nn.Module:
    if len(site.features.shape) == 2:
        return TokenBranch(site.features, site.num_classes)
    return NaiveBranch(site.feature_map, site.num_classes)
