from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.registries import keep_registries
from support.runs import Listener, MakeConfig
from torch import nn

from edgeexit.data import DataConfig, load_data
from edgeexit.errors import CheckpointError, InputError, SpecError, TrainingError
from edgeexit.evaluation import predict
from edgeexit.models import registry as model_registry
from edgeexit.models.weights.fitting import LoadedWeights
from edgeexit.training import load_checkpoint, save_checkpoint, train
from edgeexit.training.run import InterruptedRunError
from edgeexit.training.teaching.dark_knowledge import load_dark_knowledge
from edgeexit.training.teaching.teachers import Ensemble, TaughtNet, ofa


@pytest.fixture
def plain(tmp_path: Path, tiny_config: MakeConfig) -> Path:
    """The checkpoint of a plain backbone."""
    return train(tiny_config(branches="none", epochs=1, seed=5), tmp_path / "plain").checkpoint


def _public(monkeypatch: pytest.MonkeyPatch, new: tuple[str, ...] = ()) -> None:
    """Give ResNet-20 public weights: zeros."""

    def load(backbone: nn.Module) -> LoadedWeights:
        with torch.no_grad():
            for parameter in backbone.parameters():
                parameter.zero_()
        return LoadedWeights("the public zeros", new)

    entry = replace(model_registry.backbone_entry("resnet20"), load_pretrained=load)
    keep_registries(monkeypatch, entry)


def test_the_teacher_is_the_final_exit_of_the_other_network(
    plain: Path, tmp_path: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config(distill="dk", teacher=str(plain))
    teacher = load_dark_knowledge(config, load_data(config.data), None)
    images = torch.randn(4, 3, 8, 8)
    answer = teacher(images, {})
    assert torch.equal(answer, load_checkpoint(plain).build()(images)["final"])
    assert not answer.requires_grad
    assert not teacher.reads_exits

    listener = Listener()
    result = train(config, tmp_path / "run", progress=listener)
    assert listener.remarks == [f"taught by {plain}"]
    assert result.best.teacher_accuracy == load_checkpoint(plain).metrics["accuracy"]["final"]
    weights = load_checkpoint(plain).weights
    assert all(torch.equal(weights[k], v) for k, v in teacher.net.state_dict().items())


def test_the_labels_count_for_nothing_at_lambda_0(
    plain: Path, tmp_path: Path, tiny_config: MakeConfig
) -> None:
    """The students follow a teacher that answers the wrong way round."""
    checkpoint = load_checkpoint(plain)
    flipped = {
        name: value.flip(0) if name.startswith("backbone.classifier") else value
        for name, value in checkpoint.weights.items()
    }
    liar = tmp_path / "liar.pt"
    save_checkpoint(liar, replace(checkpoint, weights=flipped))
    config = tiny_config(
        distill="dk", teacher=str(liar), distill_lambda=0.0, lr=0.05, epochs=6, temperature=1.0
    )
    result = train(config, tmp_path / "run")
    truth = checkpoint.metrics["accuracy"]["final"]
    assert result.history[-1].teacher_accuracy == pytest.approx(1 - truth)
    lied = result.history[-1].accuracy["exit1"]
    assert abs(lied - (1 - truth)) < abs(lied - truth)


def test_public_weights_teach(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _public(monkeypatch)
    for teacher in ("pretrained", "pretrained:resnet20"):
        config = tiny_config(distill="dk", teacher=teacher)
        loaded = load_dark_knowledge(config, load_data(config.data), None)
        assert loaded.source == "the public zeros"
        assert not loaded(torch.randn(2, 3, 8, 8), {}).any()


def test_public_weights_of_other_classes(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _public(monkeypatch, new=("classifier.fc.weight",))
    config = tiny_config(distill="dk", teacher="pretrained")
    message = "--teacher pretrained: the classes of the public zeros are not the 2 of the data"
    with pytest.raises(SpecError, match=message):
        load_dark_knowledge(config, load_data(config.data), None)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"teacher": "pretrained"}, SpecError, "resnet20 has no pretrained weights: give --teache"),
        (
            {},
            SpecError,
            "--distill dk needs a trained plain backbone: name its checkpoint with --t",
        ),
        (
            {"distill": "wed", "teacher": "x.pt"},
            InputError,
            "goes with --distill dk, got --distill wed: omit",
        ),
        ({"teacher": "none.pt"}, CheckpointError, r"^--teacher none\.pt: could not read the"),
    ],
)
def test_teachers_that_cannot_be_had(
    tmp_path: Path,
    tiny_config: MakeConfig,
    options: dict[str, str],
    kind: type[Exception],
    message: str,
) -> None:
    with pytest.raises(kind, match=message):
        train(tiny_config(**{"distill": "dk", **options}), tmp_path / "run")


def test_a_teacher_of_other_images(plain: Path, tiny_config: MakeConfig) -> None:
    config = replace(tiny_config(distill="dk", teacher=str(plain)), data=DataConfig("digits"))
    message = r"expected input_size \(3, 32, 32\), got \(3, 8, 8\); mean .*; 10 classes, got 2: a"
    with pytest.raises(SpecError, match=message):
        load_dark_knowledge(config, load_data(config.data), None)


def test_a_teacher_with_other_names_of_classes(plain: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(distill="dk", teacher=str(plain))
    swapped = replace(load_data(config.data), class_names=("lower", "upper"))
    assert "class 0 named lower, got upper" in load_dark_knowledge(config, swapped, None).source
    same = load_dark_knowledge(config, load_data(config.data), None)
    assert same.source == str(plain)


def test_a_network_with_its_teacher_keeps_its_score(plain: Path, tiny_config: MakeConfig) -> None:
    net, images = load_checkpoint(plain).build(), load_data(tiny_config().data).splits["val"]
    net.score = "margin"
    alone, taught = predict(net, images), predict(TaughtNet(net, Ensemble(ofa)), images)
    assert taught.exit_names == ("final", "teacher")
    assert np.array_equal(taught.confidences[:1], alone.confidences)


def test_a_run_goes_on_with_the_same_teacher_alone(
    plain: Path, tmp_path: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config(distill="dk", teacher=str(plain))
    run = tmp_path / "run"
    with pytest.raises(InterruptedRunError):
        train(config, run, progress=Listener((2, 1)))
    other = train(tiny_config(branches="none", epochs=1, seed=6), tmp_path / "other").checkpoint
    message = f"was started with a teacher of other weights than {other}: give it that one"
    with pytest.raises(TrainingError, match=message):
        train(replace(config, teacher=str(other)), run, resume=True)
    moved = plain.rename(tmp_path / "moved.pt")
    assert len(train(replace(config, teacher=str(moved)), run, resume=True).history) == 2


def test_a_teacher_of_the_users_own_code(tmp_path: Path, tiny_config: MakeConfig) -> None:
    own = {"backbone": "my:Net", "branches": "none", "epochs": 1}
    result = train(tiny_config(**own), tmp_path / "plain", model=Small)
    taught = tiny_config(**own, distill="dk", teacher=str(result.checkpoint))
    taught = replace(taught, branches="n", exits="first")
    assert train(taught, tmp_path / "factory", model=Small).best.teacher_accuracy is not None
    module = Small()
    trained = train(taught, tmp_path / "module", model=module)
    assert trained.best.teacher_accuracy == result.best.accuracy["final"]


class Small(nn.Module):
    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
        self.second = nn.Conv2d(4, 8, 3, 2, 1)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.second(self.first(x)).mean((2, 3)))
        return logits
