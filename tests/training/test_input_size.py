"""The size of images that have none of their own: that of the network, unless another is told."""

from __future__ import annotations

import pytest
from torch import nn

from edgeexit.data import DataConfig
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import TrainConfig
from edgeexit.training.settings.resolving import resolve_input_size

FOLDER = DataConfig("imagefolder", "photos")


@pytest.mark.parametrize(
    ("backbone", "data", "size"),
    [
        ("resnet20", FOLDER, (3, 32, 32)),
        ("resnet18", FOLDER, (3, 224, 224)),
        ("resnet20", DataConfig("imagefolder", "photos", channels=1), (1, 32, 32)),
        ("resnet20", DataConfig("imagefolder", "photos", (3, 64, 48)), (3, 64, 48)),
        ("resnet18", DataConfig("digits"), None),  # which have a size of their own
    ],
)
def test_of_a_registered_backbone(
    backbone: str, data: DataConfig, size: tuple[int, int, int] | None
) -> None:
    config = TrainConfig(backbone, "none", data)
    assert resolve_input_size(config, None).data.input_size == size


def test_of_models_of_the_users_own() -> None:
    config = TrainConfig("mine:Net", "none", FOLDER)
    assert resolve_input_size(config, nn.Identity()).data.input_size is None
    net = MultiExitNet(make_spec("resnet20", "none", 10, (3, 16, 24)))
    assert resolve_input_size(config, net).data.input_size == (3, 16, 24)
