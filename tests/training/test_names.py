from __future__ import annotations

import pytest
import torch

from edgeexit.data import DataConfig
from edgeexit.errors import SpecError, UnknownNameError
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import TrainConfig
from edgeexit.training.steps.phases import Phase
from edgeexit.training.steps.schedule import linear_decay
from edgeexit.training.steps.strategies import STRATEGIES, plan_phases
from edgeexit.training.teaching.teachers import check_teacher, list_teachers


def _config(**options: object) -> TrainConfig:
    return TrainConfig("resnet20", "none", DataConfig("digits"), **options)  # type: ignore[arg-type]


def _net() -> MultiExitNet:
    return MultiExitNet(make_spec("resnet20", "none", 10, (3, 8, 8)))


def _plan(net: MultiExitNet, name: str, **options: bool) -> tuple[Phase, ...]:
    return plan_phases(name, net, **{"taught": False, "backbone_is_trained": False, **options})


def test_registered_names() -> None:
    assert STRATEGIES.names() == ["branches-only", "coop", "stage-wise"]
    assert list_teachers() == ["none", "dk", "med", "ofa", "wed"]


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown strategy 'cop': did you mean coop"):
        _plan(_net(), "cop")
    with pytest.raises(UnknownNameError, match="unknown distillation 'wd': did you mean wed"):
        check_teacher("wd")


def test_a_plain_backbone_has_nobody_to_teach() -> None:
    with pytest.raises(SpecError, match="--distill teaches branches, but this resnet20 has none"):
        _plan(_net(), "coop", taught=True)


def test_a_plain_backbone_has_no_branches_to_train_apart() -> None:
    message = (
        "--strategy branches-only trains branches separately from the backbone, but this resnet"
    )
    with pytest.raises(SpecError, match=message):
        _plan(_net(), "branches-only")


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
