from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.own_exits import Cascade, Internal, Shared
from support.runs import Listener, MakeConfig
from torch import Tensor, nn

from edgeexit.data import load_data
from edgeexit.errors import CheckpointError, SpecError, TrainingError
from edgeexit.models.factories import ModelSource
from edgeexit.training import TrainConfig, load_checkpoint, train
from edgeexit.training.distributed import World
from edgeexit.training.run import InterruptedRunError
from edgeexit.training.setup import TrainSetup, set_up

ALONE = World(0, 1, torch.device("cpu"))


def _start(config: TrainConfig, model: ModelSource | None = None) -> TrainSetup:
    config = replace(config, channels_last=False)
    return set_up(config, load_data(config.data), ALONE, model)


@pytest.fixture
def plain(tmp_path: Path, tiny_config: MakeConfig) -> Path:
    return train(tiny_config(branches="none", epochs=1, seed=5), tmp_path / "plain").checkpoint


def test_a_run_starts_from_the_backbone_of_a_checkpoint(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    branched = train(tiny_config(epochs=1, seed=5), tmp_path / "run").checkpoint
    setup = _start(tiny_config(init=str(branched)))
    assert str(setup.started_from) == str(branched)
    weights, stored = setup.net.state_dict(), load_checkpoint(branched).weights
    fresh = _start(tiny_config()).net.state_dict()
    for name, value in weights.items():
        expected = stored if name.startswith("backbone.") else fresh
        assert torch.equal(value, expected[name]), name


def test_the_seed_decides_the_first_weights_and_what_follows(
    plain: Path, tmp_path: Path, tiny_config: MakeConfig
) -> None:
    starts = [_start(tiny_config(seed=seed)).net.state_dict() for seed in (0, 1)]
    first, other = (weights["backbone.classifier.2.weight"] for weights in starts)
    assert not torch.equal(first, other)
    config, losses = tiny_config(branches="none", init=str(plain), epochs=1), []
    for number, seed in enumerate((0, 0, 1)):  # from the same weights
        result = train(replace(config, seed=seed), tmp_path / str(number))
        losses.append(result.history[0].loss)
    assert losses[0] == losses[1] != losses[2]


def test_other_classes_leave_the_classifier_new(plain: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(init=str(plain))
    data = replace(load_data(config.data), class_names=("upper", "lower", "left"))
    setup = set_up(replace(config, channels_last=False), data, ALONE)
    assert str(setup.started_from) == (
        f"{plain}; new, of another shape: classifier.2.weight, classifier.2.bias"
    )


def test_branches_only_skips_the_backbone_that_is_there(
    plain: Path, tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(strategy="branches-only", init=str(plain), epochs=1)
    listener = Listener()
    result = train(config, tmp_path / "run", progress=listener)
    final = load_checkpoint(plain).metrics["accuracy"]["final"]
    assert listener.remarks == [
        f"starting from {plain}",
        f"the backbone is frozen: final {final:.2%} on val",
        f"the backbone is unchanged: final {final:.2%} on val",
    ]
    assert [record.phase for record in result.history] == ["branches"]
    before, after = load_checkpoint(plain).weights, load_checkpoint(result.checkpoint).weights
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert result.best.accuracy["final"] == final
    monkeypatch.chdir(plain.parent)
    same, other = replace(config, init=plain.name), replace(config, init="other.pt")
    assert train(same, tmp_path / "run", resume=True).finished_before, "the same file"
    with pytest.raises(TrainingError, match=r"was started with --init .*, got other\.pt: omit"):
        train(other, tmp_path / "run", resume=True)


def test_ctrl_c_while_the_kept_backbone_is_measured(
    plain: Path, tmp_path: Path, tiny_config: MakeConfig
) -> None:
    class Interrupted(Listener):
        def remark(self, text: str) -> None:
            if text.startswith("the backbone"):
                raise KeyboardInterrupt

    config = tiny_config(strategy="branches-only", init=str(plain), epochs=1)
    with pytest.raises(InterruptedRunError, match="nothing is saved"):
        train(config, tmp_path / "run", progress=Interrupted())


def test_weights_that_cannot_be_had(plain: Path, tmp_path: Path, tiny_config: MakeConfig) -> None:
    with pytest.raises(SpecError, match=r"expected a checkpoint of the backbone resnet32, got one"):
        _start(tiny_config(init=str(plain), backbone="resnet32"))
    (tmp_path / "x.pt").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match=r"^--init .*x\.pt: expected weights"):
        _start(tiny_config(init=str(tmp_path / "x.pt")))
    message = r"init: expected nothing together with pretrained, got 'x\.pt'"
    with pytest.raises(ValueError, match=message):
        tiny_config(init="x.pt", pretrained=True)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Conv2d(4, 8, 3, 2, 1)
        self.third = nn.Conv2d(8, 8, 3, 1, 1)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.third(self.second(self.first(x))).mean((2, 3)))
        return logits


def test_a_model_that_is_cut_elsewhere(tmp_path: Path, tiny_config: MakeConfig) -> None:
    own = tiny_config(backbone="my:Own", branches="none", epochs=1)
    plain = train(own, tmp_path / "plain", model=Own).checkpoint
    module = Own()
    config = replace(own, branches="n+n", exits="first,second", init=str(plain))
    setup = _start(config, module)
    assert setup.started_from is not None
    assert setup.started_from.new == ()
    weights = load_checkpoint(plain).build(Own).eval()
    images = torch.randn(2, 3, 8, 8)
    assert torch.allclose(setup.net.eval()(images)["final"], weights(images)["final"], atol=1e-6)


class Drops(Own):
    """Batch norm and dropout, which both differ in training mode."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.nn.functional.dropout(self.second(self.first(x)), 0.5, self.training)
        logits: Tensor = self.head(self.third(x).mean((2, 3)))
        return logits


def trained_elsewhere() -> Drops:
    torch.manual_seed(4)
    model = Drops().train()
    for _ in range(3):
        model(torch.randn(16, 3, 16, 16) + 0.5)
    return model.eval()


@pytest.mark.parametrize("way", ["factory", "weights", "lightning", "module"])
def test_branches_only_changes_nothing_of_a_trained_model(
    way: str, tmp_path: Path, tiny_config: MakeConfig
) -> None:
    trained = trained_elsewhere()
    expected = {name: value.clone() for name, value in trained.state_dict().items()}
    content: Any = trained.state_dict()
    if way == "lightning":
        content = {"state_dict": {f"model.{name}": value for name, value in content.items()}}
    torch.save(content, tmp_path / "weights.ckpt")
    init = str(tmp_path / "weights.ckpt") if way in ("weights", "lightning") else ""
    config = tiny_config(
        backbone="my:Own", branches="n+n", exits="first,second", strategy="branches-only", init=init
    )
    sources: dict[str, Any] = {"factory": trained_elsewhere, "module": trained}
    listener = Listener()
    result = train(config, tmp_path / "run", progress=listener, model=sources.get(way, Drops))
    assert {record.phase for record in result.history} == {"branches"}
    module = trained_elsewhere()
    load_checkpoint(result.last).build(module)  # fills it
    own = module.state_dict()
    assert all(torch.equal(own[name], value) for name, value in expected.items())
    kept = [line for line in listener.remarks if "the backbone" in line]
    assert [line.partition(":")[2] for line in kept] == 2 * [kept[0].partition(":")[2]]
    assert ("13 of 13 tensors loaded" in listener.remarks[0]) == bool(init)


def test_weights_of_other_classes_need_a_word(tmp_path: Path, tiny_config: MakeConfig) -> None:
    weights = Drops().state_dict()
    weights["head.weight"], weights["head.bias"] = torch.ones(9, 8), torch.ones(9)
    torch.save(weights, tmp_path / "weights.pth")
    path = str(tmp_path / "weights.pth")
    config = tiny_config(backbone="my:Own", branches="none", exits="auto", init=path)
    with pytest.raises(CheckpointError, match=r"--init .*head\.weight.*--new-classifier"):
        _start(config, Drops)
    setup = _start(replace(config, new_classifier=True), Drops)
    assert setup.started_from is not None
    assert setup.started_from.new == ("head.weight", "head.bias")
    torch.save({"state_dict": weights, "ema": Drops().state_dict()}, tmp_path / "weights.pth")
    setup = _start(replace(config, weights_key="ema"), Drops)
    assert "taken from `ema`" in str(setup.started_from)


def test_registered_backbones_take_weights_as_they_come(
    plain: Path, tmp_path: Path, tiny_config: MakeConfig
) -> None:
    network = load_checkpoint(plain).build().backbone
    torch.save({"state_dict": network.state_dict()}, tmp_path / "weights.pth")
    setup = _start(tiny_config(init=str(tmp_path / "weights.pth")))
    own = setup.net.backbone.state_dict()
    assert all(torch.equal(own[name], value) for name, value in network.state_dict().items())


def test_branches_that_are_the_backbone_too_are_not_trained_alone(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config(
        backbone="my:Own", branches="own", outputs="0,1,2", strategy="branches-only"
    )
    for kind, fact in ((Shared, r"exit1\.exits\.0\.2\.weight"), (Cascade, "have no weights")):
        outputs = "0,1,2" if kind is Shared else "exits.0,exits.1,out"
        with pytest.raises(SpecError, match=fact):
            _start(replace(config, outputs=outputs), kind(classes=2))


def test_own_exits_are_trained_further_and_started_from(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config(backbone="my:Own", branches="none", outputs="0,1,2", epochs=1)
    result = train(config, tmp_path / "run", model=lambda: Internal(classes=2))
    checkpoint = load_checkpoint(result.last)
    assert (checkpoint.spec.outputs, checkpoint.spec.pattern) == (("0", "1", "2"), "own+own")
    assert result.config.branches == "own"
    setup = _start(replace(config, init=str(result.last), branches="own"), Internal(classes=2))
    own = setup.net.state_dict()
    assert all(torch.equal(own[name], value) for name, value in checkpoint.weights.items())
    assert "branches too" in str(setup.started_from)
    with pytest.raises(CheckpointError, match=r"--init .*last\.pt.*omit --weights-key"):
        _start(replace(setup.config, weights_key="ema"), Internal(classes=2))


def test_own_exits_start_from_a_checkpoint_of_other_classes(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config(backbone="my:Own", branches="none", outputs="0,1,2", epochs=1)
    checkpoint = train(config, tmp_path / "run", model=lambda: Internal(classes=2)).last
    config = replace(config, init=str(checkpoint), branches="own")
    data = replace(load_data(config.data), class_names=("upper", "lower", "left"))

    def start(config: TrainConfig) -> TrainSetup:
        return set_up(replace(config, channels_last=False), data, ALONE, Internal(classes=3))

    with pytest.raises(CheckpointError, match=r"--init .*got \(2, 8\).*--new-classifier"):
        start(config)
    setup = start(replace(config, new_classifier=True))
    assert setup.started_from is not None
    assert len(setup.started_from.new) == 6
