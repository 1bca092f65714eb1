from __future__ import annotations

import pytest

from edgeexit.data import DataConfig
from edgeexit.errors import SpecError, UnknownNameError
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import TrainConfig
from edgeexit.training.steps.strategies import STRATEGIES, Phase, plan_phases
from edgeexit.training.teaching.teachers import check_teacher, list_teachers


def _config(**options: object) -> TrainConfig:
    return TrainConfig("resnet20", "none", DataConfig("digits"), **options)  # type: ignore[arg-type]


def _plan(name: str, branches: str = "none", *, taught: bool = False) -> tuple[Phase, ...]:
    net = MultiExitNet(make_spec("resnet20", branches, 10, (3, 8, 8)))
    return plan_phases(name, net, taught=taught, backbone_is_trained=False)


def test_registered_names() -> None:
    assert STRATEGIES.names() == ["branches-only", "coop", "stage-wise"]
    assert list_teachers() == ["none", "dk", "med", "ofa", "wed"]


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown strategy 'cop': did you mean coop"):
        _plan("cop")
    with pytest.raises(UnknownNameError, match="unknown distillation 'wd': did you mean wed"):
        check_teacher("wd")


def test_strategies_that_have_nothing_to_train_or_teach() -> None:
    with pytest.raises(SpecError, match="--distill teaches branches, but this resnet20 has none"):
        _plan("coop", taught=True)
    with pytest.raises(SpecError, match="branches-only trains branches separately from the backb"):
        _plan("branches-only")
    with pytest.raises(SpecError, match="--strategy stage-wise has no phase with a teacher"):
        _plan("stage-wise", "1+1", taught=True)


def test_every_broken_option_is_named() -> None:
    message = "epochs: expected at least 1, got 0; lr: expected above 0, got nan; exits: expected"
    with pytest.raises(ValueError, match=message):
        _config(epochs=0, lr=float("nan"), exits="auto", device="tpu")
