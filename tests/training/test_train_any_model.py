"""Networks of the user's own: trained, stopped and resumed, stored, and built again."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.runs import Listener, MakeConfig
from torch import Tensor, nn

from edgeexit.errors import CheckpointError, SpecError, TrainingError
from edgeexit.models import MultiExitNet, attach, attach_exits, make_spec
from edgeexit.training import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    train,
)
from edgeexit.training.run import InterruptedRunError

NAME = "somewhere.models:Small"
OWN = {"backbone": NAME, "branches": "n+n", "exits": "stem,block1", "lr": 0.05}


def _block(before: int, after: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


class Small(nn.Module):
    """What models of other people have: dropout, a buffer that is not stored, ``view``."""

    scale: Tensor

    def __init__(self, num_classes: int = 10, width: int = 8) -> None:
        super().__init__()
        self.stem = _block(3, width, 1)
        self.block1 = _block(width, 2 * width, 2)
        self.block2 = _block(2 * width, 2 * width, 2)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(2 * width * 4, num_classes)
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 4), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.block2(self.block1(self.stem(images)))  # (N, C, 2, 2)
        scaled = maps * self.scale.view(1, 1, 2, 2)
        logits: Tensor = self.head(self.dropout(scaled.view(scaled.size(0), -1)))
        return logits


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_config: MakeConfig) -> Checkpoint:
    result = train(tiny_config(**OWN, epochs=1), tmp_path / "trained", model=Small)
    return load_checkpoint(result.last)


def test_a_factory_is_trained(tmp_path: Path, tiny_config: MakeConfig) -> None:
    listener = Listener()
    config = tiny_config(**{**OWN, "branches": "1+1"}, epochs=6)
    result = train(config, tmp_path, model=Small, progress=listener)
    assert listener.remarks == ["exits after stem, block1"]
    assert list(result.best.accuracy) == ["exit1", "exit2", "final"]
    assert result.history[-1].loss < result.history[0].loss / 2
    assert result.best.mean_accuracy > 0.9
    spec = load_checkpoint(result.checkpoint).spec
    assert (spec.backbone, spec.pattern, spec.points) == (NAME, "1+1", ("stem", "block1"))
    assert (spec.num_classes, spec.input_size) == (2, (3, 8, 8))


def test_the_seed_decides_the_weights_of_a_factory(tmp_path: Path, tiny_config: MakeConfig) -> None:
    losses = []
    for number, seed in enumerate((0, 0, 1)):
        torch.rand(number)
        config = tiny_config(**OWN, epochs=1, seed=seed)
        losses.append(train(config, tmp_path / str(number), model=Small).history[0].loss)
    assert losses[0] == losses[1] != losses[2]


def test_a_module_is_trained_itself(tmp_path: Path, tiny_config: MakeConfig) -> None:
    model = Small(2)
    before = model.head.weight.clone()
    result = train(tiny_config(**OWN, epochs=1), tmp_path, model=model)
    assert not torch.equal(model.head.weight, before)
    net = load_checkpoint(result.last).build(Small)
    images = torch.randn(4, 3, 8, 8)
    assert torch.allclose(net(images)["final"], model.eval()(images), atol=1e-6)


def test_exits_that_nobody_named_are_proposed_once(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(**{**OWN, "exits": ""})
    with pytest.raises(InterruptedRunError):
        train(config, tmp_path, model=Small, progress=Listener((2, 2)))
    points = load_checkpoint(tmp_path / "last.pt").spec.points
    assert len(points) == 2
    monkeypatch.setattr(attach, "propose_points", lambda points, input_size: [])
    result = train(config, tmp_path, model=Small, resume=True)
    assert result.config.exits == "auto"
    assert load_checkpoint(tmp_path / "last.pt").spec.points == points


def _ready(**changes: Any) -> MultiExitNet:
    options: dict[str, Any] = {
        "exits": ["stem", "block1"],
        "branches": "n+n",
        "input_size": (3, 8, 8),
        "name": NAME,
        **changes,
    }
    return attach_exits(Small(options.pop("classes", 2)), **options)


def test_a_network_with_its_exits_is_trained(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(**{**OWN, "exits": ""})
    with pytest.raises(InterruptedRunError):
        train(config, tmp_path, model=_ready(), progress=Listener((2, 2)))
    result = train(config, tmp_path, model=_ready(), resume=True)
    assert result.config.exits == "stem,block1"
    assert load_checkpoint(result.last).build(Small).spec == _ready().spec


def test_a_network_of_a_registered_backbone_is_trained(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    net = MultiExitNet(make_spec("resnet20", "n+n", 2, (3, 8, 8)))
    weight = next(net.parameters())
    before = weight.clone()
    result = train(tiny_config(branches="n+n", epochs=1), tmp_path, model=net)
    assert not torch.equal(weight, before)
    assert torch.equal(next(load_checkpoint(result.last).build().parameters()), weight)
    large = MultiExitNet(make_spec("resnet20", "n+n", 2, (3, 16, 16)))
    message = r"input size of the data: \(3, 8, 8\), got \(3, 16, 16\)"
    with pytest.raises(TrainingError, match=message):
        train(tiny_config(branches="n+n"), tmp_path / "large", model=large)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "other:Net"}, f"backbone: {NAME}, got other:Net"),
        ({"exits": ["stem", "block2.0"]}, "exits: stem,block1, got stem,block2.0"),
        ({"exits": ["stem"], "branches": "n"}, r"branches: n\+n, got n; exits: stem,block1, got"),
        ({"classes": 3}, "classes of the data: 2, got 3"),
    ],
)
def test_a_network_that_does_not_agree(
    tmp_path: Path, tiny_config: MakeConfig, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=f"agrees with the configuration .{message}"):
        train(tiny_config(**OWN), tmp_path, model=_ready(**changes))


@pytest.mark.parametrize(
    ("options", "model", "kind", "message"),
    [
        (OWN, None, TrainingError, f"code is not stored: train it with --model {NAME} .from Pyt"),
        ({"branches": "n+n"}, Small, TrainingError, "'resnet20' is a registered one, but a model"),
        ({**OWN, "pretrained": True}, Small, SpecError, "--pretrained is for registered backbones"),
        ({**OWN, "branches": "n"}, Small, SpecError, "branches n: expected one for each of the 2"),
        ({**OWN, "exits": "stem,blok1"}, Small, SpecError, "no cut at 'blok1'.*block1"),
        (OWN, lambda: Small(7), SpecError, "expected a model with logits of 2 classes, got 7"),
    ],
)
def test_models_that_do_not_fit(
    tmp_path: Path,
    tiny_config: MakeConfig,
    options: dict[str, Any],
    model: Any,
    kind: type[Exception],
    message: str,
) -> None:
    with pytest.raises(kind, match=message) as caught:
        train(tiny_config(**options), tmp_path / "run", model=model)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_resuming_with_something_else(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(**OWN, epochs=1)
    train(config, tmp_path, model=Small)
    changes: dict[str, Any]
    for changes, model, message in (
        ({}, None, f"its code is not stored: continue it with --model {NAME} "),
        ({"exits": "auto"}, Small, "was started with --exits stem,block1, got auto: omit the"),
        ({"backbone": "other:Net"}, Small, f"was started with --model {NAME}, got other:Net"),
    ):
        with pytest.raises(TrainingError, match=message):
            train(replace(config, **changes), tmp_path, model=model, resume=True)


def test_a_checkpoint_is_built_from_the_model_again(checkpoint: Checkpoint) -> None:
    net = checkpoint.build(Small)
    again = checkpoint.build(Small(2, 8))
    assert not net.training
    assert list(net.state_dict()) == list(checkpoint.weights)
    assert not any("scale" in name for name in checkpoint.weights)
    images = torch.randn(4, 3, 8, 8)
    for name, logits in net(images).items():
        assert logits.shape == (4, 2)
        assert torch.equal(logits, again(images)[name])
    for name, value in checkpoint.weights.items():
        assert torch.equal(net.state_dict()[name], value), name
    first = next(net.parameters())
    with torch.no_grad():
        first.zero_()
    assert checkpoint.weights[next(iter(checkpoint.weights))].any(), "the checkpoint has its own"


def test_buffers_that_are_not_stored_come_from_the_model(checkpoint: Checkpoint) -> None:
    class Louder(Small):
        def __init__(self, num_classes: int) -> None:
            super().__init__(num_classes)
            self.scale *= 3

    images = torch.randn(4, 3, 8, 8)
    usual, louder = (checkpoint.build(model)(images)["final"] for model in (Small, Louder))
    (offset,) = (v for name, v in checkpoint.weights.items() if name.endswith("head.bias"))
    assert torch.allclose(louder - offset, 3 * (usual - offset), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        (None, CheckpointError, f"made from {NAME}, whose code is not in the checkpoint"),
        (None, CheckpointError, f"name it again with --model {NAME} .from Python: checkpoint.bui"),
        (lambda: Small(2, 9), CheckpointError, "do not fit .*mismatch.*give the model that it was"),
        (lambda: Small(3), SpecError, "expected a model with logits of 2 classes, got 3"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), SpecError, "no cut at 'stem'"),
    ],
)
def test_other_models_than_the_checkpoints(
    checkpoint: Checkpoint, model: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        checkpoint.build(model)
    assert "\n" not in str(caught.value)


def test_a_registered_backbone_needs_no_model(tmp_path: Path, tiny_config: MakeConfig) -> None:
    result = train(tiny_config(branches="none", epochs=1), tmp_path)
    with pytest.raises(CheckpointError, match=r"resnet20 is a registered backbone.* omit --model"):
        load_checkpoint(result.last).build(Small)


def test_nothing_in_a_checkpoint_leads_to_an_import(
    tmp_path: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("hostile_model.py").write_text(
        "import pathlib\npathlib.Path('imported').touch()\ndef make():\n    raise SystemExit\n"
    )
    name = "hostile_model:make"
    config = {**checkpoint.training["config"], "backbone": name}
    hostile = replace(
        checkpoint,
        spec=replace(checkpoint.spec, backbone=name),
        training={**checkpoint.training, "config": config},
    )
    save_checkpoint(tmp_path / "ckpt.pt", hostile)
    loaded = load_checkpoint(tmp_path / "ckpt.pt")
    with pytest.raises(CheckpointError, match="name it again with --model hostile_model:make"):
        loaded.build()
    assert loaded.build(Small).spec.backbone == name  # the code is what the caller named
    assert not Path("imported").exists()
    assert "hostile_model" not in sys.modules
    with pytest.raises(SpecError):  # the trap does close on who steps into it
        loaded.build("hostile_model:missing")
    assert Path("imported").exists()
    del sys.modules["hostile_model"]
