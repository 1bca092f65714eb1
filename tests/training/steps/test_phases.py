"""Which weights a strategy's phases move, and which stand still."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.runs import Listener, MakeConfig
from torch import Tensor

from edgeexit.errors import CheckpointError
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import TrainConfig, load_checkpoint, train
from edgeexit.training.record.reports import EpochRecord, StepStatus
from edgeexit.training.run import InterruptedRunError
from edgeexit.training.steps.strategies import PhaseNet, learn_only, plan_phases, set_modes
from edgeexit.training.teaching.losses import joint_cross_entropy


class Watcher(Listener):
    """Keeps the weights and batch norm's statistics that ``last.pt`` holds after each phase."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.run = run
        self.weights: dict[str, dict[str, Tensor]] = {}

    def step(self, status: StepStatus) -> None:
        super().step(status)
        if "start" not in self.weights:
            self.weights["start"] = load_checkpoint(self.run / "last.pt").weights

    def epoch(self, record: EpochRecord) -> None:
        self.weights[record.phase] = load_checkpoint(self.run / "last.pt").weights

    def moved(self, before: str, after: str) -> set[str]:
        """The parts of the network with a parameter or a statistic that changed."""
        old, new = self.weights[before], self.weights[after]
        return {_part(name) for name in old if not torch.equal(old[name], new[name])}


def _part(name: str) -> str:
    pieces = name.split(".")
    return pieces[2] if pieces[1] == "stages" else pieces[1]


def _watched(config: TrainConfig, run: Path) -> Watcher:
    watcher = Watcher(run)
    train(config, run, progress=watcher, on_epoch=watcher.epoch)
    return watcher


def test_coop_moves_everything(tmp_path: Path, tiny_config: MakeConfig) -> None:
    watcher = _watched(tiny_config(epochs=1), tmp_path / "run")
    parts = {"stage1", "stage2", "stage3", "classifier", "exit1", "exit2"}
    assert watcher.moved("start", "coop") == parts
    assert list(watcher.statuses[0].accuracy) == ["exit1", "exit2", "final"]


def test_branches_only_leaves_the_backbone_as_it_was_learned(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config(strategy="branches-only", distill="ofa", distill_lambda=0.0, epochs=1)
    watcher = _watched(config, tmp_path / "run")
    backbone = {"stage1", "stage2", "stage3", "classifier"}
    assert watcher.moved("start", "backbone") == backbone
    assert watcher.moved("backbone", "branches") == {"exit1", "exit2"}
    computed = [list(status.accuracy) for status in watcher.statuses]
    assert computed == [["final"]] * 3 + [["exit1", "exit2"]] * 3
    assert [status.epochs for status in watcher.statuses] == [2] * 6
    assert watcher.remarks == ["1 epochs each: backbone, branches"]


def test_stage_wise_moves_a_stage_with_its_branch(tmp_path: Path, tiny_config: MakeConfig) -> None:
    watcher = _watched(tiny_config(strategy="stage-wise", epochs=1), tmp_path / "run")
    assert watcher.moved("start", "stage 1") == {"stage1", "exit1"}
    assert watcher.moved("stage 1", "stage 2") == {"stage2", "exit2"}
    assert watcher.moved("stage 2", "stage 3") == {"stage3", "classifier"}
    assert [list(s.accuracy) for s in watcher.statuses[::3]] == [["exit1"], ["exit2"], ["final"]]


def test_stages_without_a_branch_are_learned_with_the_next() -> None:
    net = MultiExitNet(make_spec("resnet20", "none", 4, (3, 8, 8)))
    (phase,) = plan_phases("stage-wise", net, taught=False, backbone_is_trained=False)
    assert len(learn_only(phase, list(net.parameters()))) == len(list(net.parameters()))


def test_every_phase_has_its_own_fall_of_the_rate(tmp_path: Path, tiny_config: MakeConfig) -> None:
    result = train(tiny_config(strategy="branches-only", epochs=2), tmp_path / "run")
    assert [record.lr for record in result.history] == [0.01, 0.005, 0.01, 0.005]
    assert [record.phase for record in result.history] == ["backbone"] * 2 + ["branches"] * 2
    assert result.best.phase == "branches"
    assert load_checkpoint(result.checkpoint).training["epoch"] == result.best.epoch


@pytest.mark.parametrize("name", ["branches-only", "stage-wise"])
def test_frozen_parameters_get_no_gradient(name: str) -> None:
    net = MultiExitNet(make_spec("resnet20", "1+n", 4, (3, 8, 8)))
    everything = list(net.parameters())
    for phase in plan_phases(name, net, taught=False, backbone_is_trained=False):
        net.zero_grad()
        trained = learn_only(phase, everything)
        assert 0 < len(trained) < len(everything)
        logits = PhaseNet(net, phase.exits)(torch.randn(2, 3, 8, 8))
        joint_cross_entropy(logits, torch.tensor([0, 3])).backward()
        assert {id(p) for p in everything if p.grad is not None} == {id(p) for p in trained}


def test_frozen_parts_are_in_evaluation_mode() -> None:
    net = MultiExitNet(make_spec("resnet20", "1+1", 4, (3, 8, 8)))
    _, phase = plan_phases("branches-only", net, taught=False, backbone_is_trained=False)
    set_modes(net, phase)
    assert not any(module.training for module in net.backbone.modules())
    assert all(module.training for module in net.branches.modules())


def test_a_phase_computes_its_exits_as_the_whole_network_does() -> None:
    net = MultiExitNet(make_spec("resnet20", "1+n", 4, (3, 8, 8))).eval()
    images = torch.randn(2, 3, 8, 8)
    whole = net(images)
    ran: list[str] = []
    for name, stage in net.backbone.named_stages():
        stage.register_forward_hook(lambda *_, name=name: ran.append(name))
    for exits, stages in ((("exit1",), 1), (("exit2",), 2), (("exit1", "final"), 3)):
        ran.clear()
        logits = PhaseNet(net, exits)(images)
        assert tuple(logits) == exits
        assert all(torch.equal(logits[name], whole[name]) for name in exits)
        assert len(ran) == stages


def test_a_run_of_other_phases_is_refused(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(strategy="branches-only", epochs=1)
    run = tmp_path / "run"
    with pytest.raises(InterruptedRunError):
        train(config, run, progress=Listener((2, 1)))
    plain = torch.load(run / "last.pt", weights_only=True)
    plain["training"]["phases"] = ["branches", "something else"]
    torch.save(plain, run / "last.pt")
    with pytest.raises(CheckpointError, match=r"last\.pt does not fit the network that the run"):
        train(config, run, resume=True)
