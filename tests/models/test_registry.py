"""Names to builders: close matches, registration of one's own."""

from __future__ import annotations

import re

import pytest
import torch
from support.registries import keep_registries
from torch import Tensor, nn

from edgeexit.errors import UnknownNameError
from edgeexit.models import (
    MultiExitNet,
    list_backbones,
    list_branches,
    make_spec,
    register_backbone,
    register_branch,
)
from edgeexit.models.backbone import Backbone, chained
from edgeexit.models.registry import BranchSite


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    keep_registries(monkeypatch)


@pytest.mark.parametrize("close", ["resnet-20", "ResNet20", "resnet2", "resnet200"])
def test_unknown_backbone_offers_close_matches(close: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown backbone '{close}': did you mean resnet"):
        make_spec(close, "3+1", 10)


def test_backbone_unlike_any_lists_all_of_them() -> None:
    with pytest.raises(UnknownNameError) as caught:
        make_spec("xyz", "3+1", 10)
    assert str(caught.value) == f"unknown backbone 'xyz': known: {', '.join(list_backbones())}"


@pytest.mark.usefixtures("own_registry")
def test_own_backbone_and_branch_need_only_a_registration() -> None:
    class Pooled(nn.Module):
        def __init__(self, channels: int, classes: int) -> None:
            super().__init__()
            self.linear = nn.Linear(channels, classes)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.amax((2, 3)))

    @register_backbone(input_size=(3, 16, 16))
    def two_stages(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
        bodies = {"stage1": nn.Conv2d(3, 4, 3), "stage2": nn.Conv2d(4, 8, 3)}
        return Backbone(chained(bodies), Pooled(8, num_classes), exit_stages=("stage1",))

    @register_branch("maximum", token="max", example="max")
    def maximum(site: BranchSite, token: str) -> nn.Module:
        return Pooled(site.features.shape[0], site.num_classes)

    assert "two_stages" in list_backbones()
    assert "maximum" in [entry.name for entry in list_branches()]
    net = MultiExitNet(make_spec("two_stages", "max", num_classes=5))
    logits = net(torch.zeros(2, 3, 16, 16))
    assert {name: tuple(value.shape) for name, value in logits.items()} == {
        "exit1": (2, 5),
        "final": (2, 5),
    }


def test_tokens_of_two_kinds_do_not_overlap() -> None:
    for entry in list_branches():
        kinds = [
            other.name for other in list_branches() if re.fullmatch(other.token, entry.example)
        ]
        assert kinds == [entry.name]
