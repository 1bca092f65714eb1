"""A baseline of the user's own code, which was cut elsewhere than the network beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from edgeexit_runtime.images.preprocess import Preprocessing
from torch import nn

from edgeexit.data import DataConfig
from edgeexit.errors import SpecError
from edgeexit.models import attach_exits
from edgeexit.paper.consistency import TrainedNetwork, name_networks
from edgeexit.paper.consistency.networks import build_baseline, build_network
from edgeexit.training import Checkpoint

SIZE = (3, 8, 8)


def model(channels: int = 5, pixels: int = 1) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, channels, 3, 2, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(pixels), nn.Flatten(), nn.Linear(channels * pixels**2, 2)),
    )


def trained(exits: list[str], branches: str) -> TrainedNetwork:
    net = attach_exits(model(), exits, branches=branches, input_size=SIZE, name="own:model")
    thresholds = dict.fromkeys(net.spec.exit_names[:-1], 0.9)
    preprocessing = Preprocessing(SIZE, (0.5,) * 3, (0.25,) * 3)
    about = (preprocessing, ("a", "b"), thresholds, DataConfig("x"), {}, {})
    checkpoint = Checkpoint(net.spec, net.state_dict(), *about)
    (network,) = name_networks([Path("run/ckpt.pt")], [checkpoint])
    return network


@pytest.mark.parametrize(
    ("exits", "branches"), [([], "none"), (["1"], "n"), (["1", "3"], "n+1"), (["0", "2"], "n+n")]
)
def test_a_baseline_is_cut_where_the_network_is(exits: list[str], branches: str) -> None:
    baseline = trained(exits, branches)
    net = build_baseline(baseline, ("1", "3"), model)
    assert net.spec.points == ("1", "3")
    images = torch.randn(4, *SIZE)
    expected = build_network(baseline, model)(images)["final"]
    assert torch.equal(net(images)["final"], expected)
    assert not net.training
    assert not any(weight.requires_grad for weight in net.parameters())


def test_a_module_of_its_own_is_not_changed() -> None:
    own = model()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    baseline = trained(["1"], "n")
    build_network(baseline, own)
    build_baseline(baseline, ("1", "3"), own)
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())


@pytest.mark.parametrize("options", [{"channels": 6}, {"pixels": 2}])
def test_another_model_than_the_baseline_was_made_from(options: dict[str, int]) -> None:
    baseline = trained([], "none")
    with pytest.raises(SpecError, match=r"^run/ckpt.pt does not fit the .*another shape; "):
        build_baseline(baseline, ("1", "3"), lambda: model(**options))
