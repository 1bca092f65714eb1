"""Stretches of a model under autocast, which torch.export wraps into one node."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgeexit.errors import SpecError
from edgeexit.models import attach_exits

SIZE = (3, 8, 8)


class Stretch(nn.Module):
    """Two blocks; what lies between them looks at autocast. torch.fx cannot trace the condition."""

    def __init__(self, enabled: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.classifier = nn.Linear(8, 4)
        self.enabled = enabled

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images).relu()
        if x.shape[1] != 8:
            raise ValueError("channels")
        with torch.autocast("cpu", enabled=self.enabled):
            doubled = 2 * x.float()
            share = x.mean((2, 3), keepdim=True)
        logits: Tensor = self.classifier(self.second(doubled * share).mean((2, 3)))
        return logits


def test_a_stretch_that_switches_autocast_off_is_traced_through() -> None:
    model = Stretch(enabled=False).eval()
    net = attach_exits(model, ["first"], branches="n", input_size=SIZE, num_classes=4).eval()
    images = torch.randn(5, *SIZE)
    with torch.no_grad():
        assert torch.equal(net(images)["final"], model(images))


def test_a_stretch_that_switches_it_on_is_refused() -> None:
    with pytest.raises(SpecError, match=r"under torch\.autocast\('cpu', torch\.bfloat16\)"):
        attach_exits(Stretch(enabled=True), ["first"], branches="n", input_size=SIZE, num_classes=4)
