from __future__ import annotations

from collections.abc import Callable

import pytest
from support.registries import keep_registries
from support.tiny_data import tiny

from edgeexit.data import DataConfig, register_dataset
from edgeexit.training import TrainConfig


@pytest.fixture
def tiny_config(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainConfig]:
    """Give a run of ResNet-20 on a data set of 25 images of 8x8, its options by keyword."""
    keep_registries(monkeypatch)
    register_dataset(tiny)

    def make(**options: object) -> TrainConfig:
        defaults = {"backbone": "resnet20", "branches": "1+1", "epochs": 2, "batch_size": 8}
        return TrainConfig(data=DataConfig("tiny"), **{**defaults, "device": "cpu", **options})  # type: ignore[arg-type]

    return make
