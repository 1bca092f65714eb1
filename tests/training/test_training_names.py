from __future__ import annotations

import pytest
import torch

from edgeexit.data import DataConfig
from edgeexit.errors import SpecError, UnknownNameError
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import TrainConfig
from edgeexit.training.schedule import linear_decay
from edgeexit.training.strategies import create_objective, list_strategies
from edgeexit.training.teachers import create_teacher, list_teachers


def _config(**options: object) -> TrainConfig:
    return TrainConfig("resnet20", "none", DataConfig("digits"), **options)  # type: ignore[arg-type]


def _net() -> MultiExitNet:
    return MultiExitNet(make_spec("resnet20", "none", 10, (3, 8, 8)))


def test_registered_names() -> None:
    assert "coop" in list_strategies()
    assert list_teachers()[0] == "none"
    assert "wed" in list_teachers()
    assert create_teacher("none") is None


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown strategy 'cop': did you mean coop"):
        create_objective(_net(), _config(strategy="cop"))
    with pytest.raises(UnknownNameError, match="unknown distillation 'med': did you mean wed"):
        create_objective(_net(), _config(distill="med"))


def test_a_plain_backbone_has_nobody_to_teach() -> None:
    with pytest.raises(SpecError, match="--distill wed teaches branches, and this resnet20 has"):
        create_objective(_net(), _config(distill="wed"))


def test_the_rate_falls_linearly_to_zero() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    schedule = linear_decay(optimizer, 4)
    rates = []
    for _ in range(5):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.2, 0.15, 0.1, 0.05, 0.0])


def test_every_broken_option_is_named() -> None:
    message = "epochs: expected at least 1, got 0; lr: expected above 0, got nan; device: expected"
    with pytest.raises(ValueError, match=message):
        _config(epochs=0, lr=float("nan"), device="tpu")
