"""A network from a file in the current folder, all the way through the shell."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from support.command_line import invoke as run

from edgeexit.data import load_data
from edgeexit.evaluation import predict
from edgeexit.training import load_checkpoint

SOURCE = """
from pathlib import Path
from torch import nn

Path("imported").touch()

def block(before, after, stride):
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())

class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(block(width, width, 1), block(width, width, 1))

    def forward(self, x):
        return x + self.body(x)

class Net(nn.Module):
    def __init__(self, num_classes=10, width=8):
        super().__init__()
        self.stem = block(3, width, 2)
        self.layer1 = Residual(width)
        self.down = block(width, 16, 2)
        self.layer2 = Residual(16)
        self.head = nn.Linear(16 * 16, num_classes)

    def forward(self, images):
        x = self.layer2(self.down(self.layer1(self.stem(images))))
        return self.head(x.view(x.shape[0], -1))

def narrow(num_classes=10):
    return Net(num_classes, width=4)
"""
MODEL = "my_network:Net"
OWN = ("--model", MODEL)
NETWORK = (*OWN, "--exits", "layer1,down", "--branches", "2+n")
DATA = ("--dataset", "digits", "--input-size", "16")
TRAINING = ("--epochs", "1", "--batch-size", "64", "--lr", "0.05", "--device", "cpu")


@pytest.fixture(autouse=True)
def _nothing_stays_imported() -> Iterator[None]:
    path = sys.path.copy()
    yield
    sys.path[:] = path
    sys.modules.pop("my_network", None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``my_network.py`` and a run of one epoch in ``run``."""
    folder: Path = tmp_path_factory.mktemp("own")
    (folder / "my_network.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", sys.path.copy())
        result = run.ok("train", *NETWORK, *DATA, *TRAINING)
    assert "exits after layer1, down\n" in result.stderr
    following = "next: edgeexit tune run/ckpt.pt --model my_network:Net --max-drop 0.01\n"
    assert following in result.stdout
    return folder


@pytest.fixture
def folder(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``trained``, as the current folder, with nothing of it imported yet."""
    monkeypatch.chdir(trained)
    sys.modules.pop("my_network", None)
    (trained / "imported").unlink(missing_ok=True)
    return trained


def test_from_a_file_to_a_session(folder: Path) -> None:
    tuned = run.ok("tune", "run/ckpt.pt", *OWN, "--max-drop", 0.5)
    following = "next: edgeexit export run/ckpt.tuned.pt --model my_network:Net"
    assert tuned.stdout.splitlines()[-1] == following
    checkpoint = load_checkpoint(folder / "run/ckpt.tuned.pt")
    evaluated = run.json("eval", "run/ckpt.tuned.pt", *OWN)
    test = checkpoint.metrics["tuning"]["test"]
    assert evaluated["adaptive_accuracy"] == test["adaptive_accuracy"]
    run.ok("export", "run/ckpt.tuned.pt", *OWN, "--samples", 32)

    data = load_data(checkpoint.data)
    expected = predict(checkpoint.build(MODEL), data.splits["test"])
    images = np.stack([image.numpy() for image, _ in data.splits["test"]])  # type: ignore[attr-defined]
    with ee.load("out") as session:
        assert session.manifest.model.backbone == MODEL
        assert dict(session.thresholds) == checkpoint.thresholds
        answers = session.infer_all_exits(images)
    np.testing.assert_allclose(answers.confidences, expected.confidences, atol=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        ("eval", "run/ckpt.pt"),
        ("tune", "run/ckpt.pt", "--max-drop", 0.5),
        ("export", "run/ckpt.pt", "-o", "elsewhere"),
    ],
)
def test_a_checkpoint_alone_imports_nothing(folder: Path, arguments: tuple[object, ...]) -> None:
    message = run.refused(*arguments)
    assert "made from my_network:Net, whose code is not in the checkpoint" in message
    assert "name it again with --model my_network:Net (from Python" in message
    assert not (folder / "imported").exists()
    assert "my_network" not in sys.modules
    assert not (folder / "elsewhere").exists()


def test_a_run_goes_on_with_its_model_alone(folder: Path) -> None:
    message = run.refused("train", "--resume", "-o", "run")
    assert "continue it with --model my_network:Net" in message
    assert not (folder / "imported").exists()
    result = run.ok("train", "--resume", "-o", "run", *OWN)
    assert "run is finished: epoch 1 of 1 is done" in result.stderr
    message = run.refused("train", "--resume", "-o", "run", *OWN, "--exits", "auto")
    assert "was started with --exits layer1,down, got auto" in message
    message = run.refused("train", "--resume", "-o", "run", "--model", "my_network:narrow")
    assert "was started with --model my_network:Net, got my_network:narrow" in message


@pytest.mark.parametrize("command", ["eval", "tune", "export"])
def test_another_model_than_the_checkpoints(folder: Path, command: str) -> None:
    more = {"eval": (), "tune": ("--max-drop", 0.5), "export": ("-o", "elsewhere")}[command]
    message = run.refused(command, "run/ckpt.pt", "--model", "my_network:narrow", *more)
    assert "the weights do not fit my_network:Net with branches 2+n (size mismatch" in message
    assert "give the model that it was made from, or train it again" in message
    message = run.refused(command, "run/ckpt.pt", "--model", "my_netwrk:Net", *more, code=2)
    assert "there is no module my_netwrk" in message
    assert "did you mean my_network?" in message
    assert not (folder / "elsewhere").exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--backbone", "resnet20"), 2, "expected one of --backbone and --model, got both"),
        (("--pretrained",), 2, "--pretrained is for registered backbones: my_network:Net has"),
        (("--branches", "2"), 2, "branches 2: expected one for each of the 2 points (layer1, dow"),
        (("--exits", "layer1,layer3"), 2, "no cut at 'layer3': it is no module of the model"),
        (("--model", "my_network.py:Net"), 2, "there is no module my_network.py"),
        (("--model", "my_network:Nt"), 2, "my_network has no Nt; did you mean Net"),
        (("--model", "my_network"), 2, "expected package.module:factory, such as torchvision.mod"),
    ],
)
def test_bad_input_to_training(
    folder: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    assert message in run.refused(
        "train", *NETWORK, *DATA, *TRAINING, *options, "-o", "new", code=code
    )
    assert not (folder / "new").exists()


def test_costs_of_a_model(folder: Path) -> None:
    size = ("--input-size", "16", "--json")
    arguments = (*NETWORK, "--num-classes", "10", *size)
    value = json.loads(run.ok("flops", *arguments).stdout)
    assert (value["backbone"], value["branches"]) == (MODEL, "2+n")
    evaluated = run.json("eval", "run/ckpt.pt", *OWN)
    assert value["baseline_macs"] == evaluated["baseline_macs"]
    paths = [exit_["path_macs"] for exit_ in evaluated["exits"]]
    assert [exit_["path_macs"] for exit_ in value["exits"]] == paths
    proposed = json.loads(run.ok("flops", *OWN, "--branches", "n", *size).stdout)
    assert proposed["num_classes"] == 1000
    assert [exit_["name"] for exit_ in proposed["exits"]] == ["exit1", "final"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected either BACKBONE, or --model, optionally with --exits"),
        (("resnet20", *OWN), "expected either BACKBONE, or --model, optionally with --exits"),
        (("resnet20", "--exits", "auto"), "expected either BACKBONE, or --model, optionally with"),
        ((MODEL,), "not a registered backbone, but a model: edgeexit flops --model my_network:Net"),
    ],
)
def test_costs_of_what_is_not_clear(arguments: tuple[str, ...], message: str) -> None:
    assert message in run.refused("flops", *arguments, code=2)
