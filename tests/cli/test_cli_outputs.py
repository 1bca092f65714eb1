"""A network that was trained elsewhere, with exits of its own, all the way through the shell."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
import torch
from PIL import Image
from support import own_exits
from support.command_line import invoke as run
from support.command_line import message

from edgeexit.data import DataConfig, load_data
from edgeexit.training import load_checkpoint

NAME = "own_exits_of_mine"
OWN = ("--model", f"{NAME}:make", "--outputs", "0,1,2")
DATA = ("--dataset", "digits", "--input-size", "16")


def fail(*arguments: object) -> str:
    """Return what an error says: one line, and no traceback."""
    return message(run(*arguments))


@pytest.fixture
def folder(own_folder: Path) -> Path:
    """The current folder, with the code of networks and nothing of it imported."""
    shutil.copy(own_exits.__file__, own_folder / f"{NAME}.py")
    with (own_folder / f"{NAME}.py").open("a") as file:
        file.write("\n\ndef make(num_classes=10):\n    return Scales(num_classes)\n")
    return own_folder


@pytest.fixture
def weights(folder: Path) -> Path:
    """Weights as Lightning stores them, of a network that is not trained."""
    torch.manual_seed(0)
    model = own_exits.Scales(10)
    stored = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": stored, "epoch": 1}, folder / "weights.ckpt")
    return folder / "weights.ckpt"


def test_outputs_are_listed(folder: Path) -> None:
    arguments = ("inspect", "--model", f"{NAME}:FinalFirst", "--input-size", "16", "--outputs")
    text = run.ok(*arguments).stdout
    assert f"--model {NAME}:FinalFirst --outputs 1,2,0" in text
    value = run.json(*arguments)
    assert value["proposed"] == ["1", "2", "0"]
    assert [output["is_logits"] for output in value["outputs"]] == [True, True, True, False]
    assert "--outputs 0,1,2" in fail("inspect", f"{NAME}:FinalFirst", "--input-size", "16")
    assert "either MODEL or --model" in fail("inspect", "--outputs")
    assert "package.module:factory" in fail("inspect", "resnet20", "--outputs")


def test_costs_of_own_exits(folder: Path) -> None:
    size = ("--input-size", "16", "--json")
    value = json.loads(run.ok("flops", *OWN, *size).stdout)
    assert (value["branches"], len(value["exits"])) == ("own+own", 3)
    assert "--branches" in fail("flops", *OWN, "--branches", "n")
    assert "--outputs" in fail("flops", "resnet20", "--outputs", "0,1")


def test_weights_to_a_session(weights: Path) -> None:
    evaluated = run.ok("eval", weights.name, *OWN, *DATA, "--json")
    count = len(own_exits.Scales().state_dict())
    assert f"{count} of {count} tensors loaded, taken from `state_dict`" in evaluated.stderr
    assert "prefix `model.` removed" in evaluated.stderr
    exported = run.ok("export", weights.name, *OWN, *DATA, "--engine", "none", "--samples", "32")
    assert "next: edgeexit bench" in exported.stdout
    report = json.loads(evaluated.stdout)
    data = load_data(DataConfig("digits", input_size=(3, 16, 16)))
    images = np.stack([image.numpy() for image, _ in data.splits["test"]])
    labels = np.array([label for _, label in data.splits["test"]])
    with ee.load("out") as session:
        found = [(answers == labels).mean() for answers in session.infer_all_exits(images).labels]
    np.testing.assert_allclose(found, [exit_["accuracy"] for exit_ in report["exits"]], atol=0.01)
    tuned = run.ok("tune", weights.name, *OWN, *DATA, "--max-drop", "0.9")
    assert f"next: edgeexit export weights.tuned.ckpt --model {NAME}:make" in tuned.stdout
    assert load_checkpoint(Path("weights.tuned.ckpt")).spec.outputs == ("0", "1", "2")
    run.ok("eval", "weights.tuned.ckpt", "--model", f"{NAME}:make")
    for own in (OWN, (*OWN[:2], "--new-classifier"), (*OWN[:2], "--weights-key", "ema")):
        assert f"{own[2]} goes with weights alone" in fail("eval", "weights.tuned.ckpt", *own)
    assert "weights alone" in fail(
        "tune", weights.name, *OWN, *DATA, "--max-drop", "0.9", "-o", weights.name
    )


def test_weights_that_were_trained_with_another_normalization(weights: Path) -> None:
    other = ("--mean", "0.5,0.4,0.3", "--std", "0.1,0.2,0.25")
    report = run.json("eval", weights.name, *OWN, *DATA, *other)
    run.ok("export", weights.name, *OWN, *DATA, *other, "--engine", "none", "--samples", "16")
    data = load_data(
        DataConfig("digits", None, (3, 16, 16), mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.25))
    )
    manifest = ee.load_manifest("out")
    assert manifest.preprocessing == data.preprocessing
    assert manifest.preprocessing.mean == (0.5, 0.4, 0.3)
    judged = run.json("eval", "--engine-dir", "out")
    found = [exit_["accuracy"] for exit_ in judged["exits"]]
    np.testing.assert_allclose(found, [e["accuracy"] for e in report["exits"]], atol=0.01)
    run.ok("tune", weights.name, *OWN, *DATA, *other, "--max-drop", "0.9")
    assert load_checkpoint(Path("weights.tuned.ckpt")).preprocessing == data.preprocessing
    model = ("--model", f"{NAME}:make")
    again = run.json("eval", "weights.tuned.ckpt", *model)
    assert [e["accuracy"] for e in again["exits"]] == [e["accuracy"] for e in report["exits"]]
    assert "--mean" in fail("eval", "weights.tuned.ckpt", *model, *other)
    assert "--std" in fail("eval", weights.name, *OWN, *DATA, *other[:2])
    assert "3 channels" in fail("eval", weights.name, *OWN, *DATA, "--mean=0.5", "--std=0.1")


def test_image_files_come_to_weights_as_they_were_trained(weights: Path) -> None:
    for number in range(100):  # one tree of 10 classes
        path = Path("photos") / str(number % 10) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 20), (number, 100, 255 - number)).save(path)
    files = ("--dataset", "imagefolder", "--data-dir", "photos")
    usual = run.ok("eval", weights.name, *OWN, *files, "--input-size", "16").stderr
    for fact in ("16x16 pixels", "shorter side is 18", "mean 0.485,0.456,0.406", "--resize"):
        assert fact in usual
    whole = ("--input-size", "16", "--resize", "16")
    assert (
        "shorter side is 16"
        in run.ok(
            "export", weights.name, *OWN, *files, *whole, "--engine", "none", "--samples", "16"
        ).stderr
    )
    assert ee.load_manifest("out").preprocessing.resize == 16
    run.ok("eval", "--engine-dir", "out")
    assert "from 16 pixels" in fail("eval", weights.name, *OWN, *files, *whole[:2], "--resize=15")
    assert "not cropped" in fail("eval", weights.name, *OWN, *DATA, "--resize", "20")


@pytest.mark.parametrize("command", ["eval", "export", "tune", "figures"])
def test_which_weights_and_a_new_classifier_for_other_classes(command: str, folder: Path) -> None:
    weights = own_exits.Scales(7).state_dict()
    torch.save({"state_dict": weights, "ema": weights | {"more": torch.ones(1)}}, "weights.pth")
    last = {"export": ("--engine", "none", "--samples", "16"), "tune": ("--max-drop", "0.9")}
    arguments = (command, "weights.pth", *OWN, *DATA, *last.get(command, ()))
    assert "--new-classifier" in fail(*arguments)
    assert "not expected, first more" in fail(*arguments, "--weights-key", "ema")
    assert "`state_dict`" in fail(*arguments, "--weights-key", "other")
    stderr = run.ok(*arguments, "--new-classifier", "--weights-key", "state_dict").stderr
    assert "taken from `state_dict`, the file also holds `ema`" in stderr
    assert "new, of another shape: classifiers.0.3.weight" in stderr


def test_what_weights_need(weights: Path) -> None:
    assert "--model" in fail("eval", weights.name, *DATA)
    assert "--dataset" in fail("eval", weights.name, *OWN)
    message = fail("eval", weights.name, "--model", f"{NAME}:make", *DATA)
    assert "--outputs 0,1,2" in message
    message = fail("eval", weights.name, "--model", f"{NAME}:Internal", *OWN[2:], *DATA)
    assert "missing" in message
    assert "nearest" in message
    torch.save(own_exits.Scales(10), "whole.pt")
    assert "torch.save(model.state_dict()" in fail("export", "whole.pt", *OWN, *DATA)


@pytest.mark.slow
def test_trained_by_a_loop_of_its_own(folder: Path) -> None:
    """From plain PyTorch to a measured bundle, with the accuracy of its own evaluation."""
    data = load_data(DataConfig("digits", input_size=(3, 16, 16)))
    sets = {}
    for name, split in {**data.splits, "training": data.training}.items():
        pairs = [split[number] for number in range(len(split))]
        sets[name] = (torch.stack([x for x, _ in pairs]), torch.tensor([y for _, y in pairs]))
    torch.manual_seed(0)
    model = own_exits.Scales(10)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    images, labels = sets["training"]
    for _ in range(15):
        for chosen in torch.randperm(len(images)).split(64):
            answers = model(images[chosen])
            losses = [torch.nn.functional.cross_entropy(a, labels[chosen]) for a in answers]
            optimizer.zero_grad()
            torch.stack(losses).sum().backward()
            optimizer.step()
    torch.save(model.state_dict(), "weights.pth")
    images, labels = sets["test"]
    with torch.no_grad():
        own = [(a.argmax(1) == labels).float().mean().item() for a in model.eval()(images)]
    assert own[-1] > 0.9

    evaluated = run.json("eval", "weights.pth", *OWN, *DATA)
    np.testing.assert_allclose([e["accuracy"] for e in evaluated["exits"]], own, atol=1e-6)
    run.ok("tune", "weights.pth", *OWN, *DATA, "--max-drop", "0.02")
    tuned = ("weights.tuned.pth", *OWN[:2])
    run.ok("export", *tuned, "--engine", "none")
    with ee.load("out") as session:
        found = session.infer_all_exits(images.numpy()).labels
    accuracy = (found == labels.numpy()).mean(axis=1)
    np.testing.assert_allclose(accuracy, own, atol=1e-6)
    benched = run.ok("bench", "--rounds", "2", "--duration", "2", "--json", "bench.json")
    assert "early exit" in benched.stdout
    run.ok("figures", "weights.tuned.pth", *OWN[:2], "--only", "front,confidence")
    trained = run.ok(
        *("train", *OWN, *DATA, "--init", "weights.pth", "--epochs", "1", "--lr", "0.001"),
        *("--distill", "wed", "-o", "more"),
    )
    assert "branches own" in trained.stdout
    assert load_checkpoint(Path("more/ckpt.pt")).metrics["accuracy"]["final"] > 0.9
