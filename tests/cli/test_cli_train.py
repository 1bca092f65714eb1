from __future__ import annotations

import dataclasses
import io
import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from support.command_line import invoke as _invoke
from support.command_line import message
from support.messages import missing

from edgeexit.cli.output.train import TrainProgress
from edgeexit.cli.train import command
from edgeexit.cost import network_cost
from edgeexit.data import DataConfig, list_datasets
from edgeexit.data.augmentation import AUGMENTATIONS
from edgeexit.formats import format_macs
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import TrainConfig, load_checkpoint
from edgeexit.training.record.reports import EpochRecord, StepStatus
from edgeexit.training.settings.recipes import RECIPES
from edgeexit.training.steps.strategies import STRATEGIES
from edgeexit.training.teaching.teachers import list_teachers


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """20 images of 8x8 in two classes: dark and bright."""
    folder = tmp_path / "images"
    random = np.random.RandomState(0)
    for name, low in (("dark", 0), ("bright", 128)):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            pixels = random.randint(low, low + 128, (9, 9, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture
def arguments(images: Path, tmp_path: Path) -> list[str]:
    network = ["--backbone", "resnet20", "--branches", "1+n", "--epochs", "2"]
    data = ["--dataset", "imagefolder", "--data-dir", str(images), "--input-size", "8"]
    return ["train", *network, *data, "--batch-size", "8", "--device", "cpu", "-o", _run(tmp_path)]


def _run(tmp_path: Path) -> str:
    return str(tmp_path / "run")


def test_a_run_says_what_it_does_and_what_to_do_next(
    arguments: list[str], images: Path, tmp_path: Path
) -> None:
    (images / "dark" / "notes.txt").touch()
    (images / "dark").rename(images / "da\x1b[31mrk\n")  # a name that a terminal would obey
    result = _invoke.ok(*arguments, "--distill", "wed")
    with torch.device("meta"):
        net = MultiExitNet(make_spec("resnet20", "1+n", 2, (3, 8, 8)))
    cost = network_cost(net)
    *first, one, two = result.stderr.splitlines()
    assert first == [
        "imagefolder: 16 train, 2 val, 2 test images; 2 classes: bright, da\\x1b[31mrk\\n",
        "imagefolder: left out 1 .txt",
        f"resnet20, branches 1+n, 8x8 pixels: {format_macs(cost.total_macs)} MACs per image, "
        f"{format_macs(cost.baseline_macs)} without branches",
        "2 epochs of 2 batches of 8 images, on cpu",
    ]
    for number, line in ((1, one), (2, two)):
        assert line.startswith(f"epoch {number}/2  loss ")
        assert not missing(line, "exit1", "exit2", "final", "teacher")
    assert "resnet20, branches 1+n, on imagefolder: best epoch" in result.stdout
    run = _run(tmp_path)
    assert f"next: edgeexit tune {run}/ckpt.pt --max-drop 0.01\n" in result.stdout


def test_json_is_all_of_stdout_and_of_the_first_process(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = _invoke.json(*arguments)
    assert summary["checkpoint"] == f"{_run(tmp_path)}/ckpt.pt"
    assert summary["best_epoch"] in (1, 2)
    assert list(summary["accuracy"]) == ["exit1", "exit2", "final"]
    assert summary["finished_before"] is False
    again = ("train", "--resume", "-o", _run(tmp_path), "--json")
    result = _invoke(*again)
    assert json.loads(result.stdout)["finished_before"] is True
    assert "is finished: epoch 2 of 2 is done" in result.stderr
    monkeypatch.setenv("RANK", "1")
    assert _invoke(*again).output == ""


def test_resuming_with_something_else(arguments: list[str], images: Path, tmp_path: Path) -> None:
    _invoke(*arguments, "--epochs", "1")

    def refused(*options: str) -> str:
        return message(_invoke("train", "--resume", "-o", _run(tmp_path), *options))

    for option in ("--recipe", "--config"):
        assert f"{option} starts a run; omit it to continue one" in refused(option, "imagenet")
    assert "was started with --epochs 1, got 5: omit the options" in refused("--epochs", "5")
    assert "--skip-corrupt off, got on: omit the options" in refused("--skip-corrupt")
    first = min((images / "bright").iterdir())
    added = first.rename(first.with_name("a copy.png"))
    assert "was started with other images in train or val" in refused()
    added.rename(first)
    (images / "dark").rename(images / "aa")  # as many classes, in another order
    assert "was started with class 0 named bright, got aa: give it the images" in refused()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--backbone", "resnet21"], 2, "unknown backbone 'resnet21': did you mean"),
        (["--dataset", "imagefoldr"], 2, "unknown data set 'imagefoldr': did you mean imagefolder"),
        (["--branches", "3"], 2, "resnet20 has 2 branching points"),
        (["--strategy", "cop"], 2, "unknown strategy 'cop': did you mean coop"),
        (["--distill", "wde"], 2, "unknown distillation 'wde': did you mean wed"),
        (["--data-dir", "nowhere"], 1, "there is no folder nowhere; check --data-dir"),
        (["--lr", "nan"], 2, "lr: expected above 0, got nan"),
        (["--pretrained"], 2, "resnet20 has no pretrained weights"),
        (["--exits", "auto"], 2, "--exits goes with --model"),
        (["--resume"], 1, "holds no run to continue"),
    ],
)
def test_bad_input_is_explained_without_a_traceback(
    arguments: list[str], tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    assert message in _invoke.refused(*arguments, *options, code=code)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_ctrl_c_exits_with_130(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: object, status: StepStatus) -> None:
        if status.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainProgress, "step", interrupt)
    told = _invoke.refused(*arguments, code=130)
    last = Path(_run(tmp_path)) / "last.pt"
    message = f"Error: interrupted: {last} holds epoch 1; continue it with --resume"
    assert told.splitlines()[-1] == message


@pytest.mark.parametrize(
    ("name", "missing"),
    [("backbone", "'--backbone' or '--model'"), ("dataset", "'--dataset'")],
)
def test_what_a_new_run_must_be_told(arguments: list[str], name: str, missing: str) -> None:
    at = arguments.index(f"--{name}")
    told = _invoke.refused(*arguments[:at], *arguments[at + 2 :], code=2)
    assert f"Missing option {missing} (or continue with --resume)" in told


def test_the_options_defaults_are_the_configurations() -> None:
    fields = {f.name: f.default for f in dataclasses.fields(TrainConfig)}
    options = command.make_context("train", ["-o", "run"]).params
    shared = [name for name, value in fields.items() if value is not dataclasses.MISSING]
    assert len(shared) == 25
    assert {name: options[name] for name in shared} == {name: fields[name] for name in shared}
    data = {f.name: f.default for f in dataclasses.fields(DataConfig)}
    del data["name"], data["fingerprint"]
    assert {name: options[name] for name in data} == data


def test_every_field_of_the_configuration_has_an_option() -> None:
    fields = {f.name for kind in (TrainConfig, DataConfig) for f in dataclasses.fields(kind)}
    options = {str(parameter.name) for parameter in command.params}
    assert fields - {"data", "name", "fingerprint"} <= options


def test_the_help_names_what_there_is() -> None:
    helps = {p.name: p.help for p in command.params if isinstance(p, click.Option)}
    for option, names in {
        "strategy": STRATEGIES.names(),
        "distill": list_teachers(),
        "augmentation": AUGMENTATIONS.names(),
        "recipe": RECIPES.names(),
        "dataset": list_datasets(),
    }.items():
        assert all(name in (helps[option] or "") for name in names), option


def test_a_run_starts_from_the_configuration_of_another(
    arguments: list[str], tmp_path: Path
) -> None:
    arguments += ["--lr", "0.02", "--seed", "3"]
    _invoke.ok(*arguments)
    config = str(tmp_path / "run" / "config.toml")
    same, other = str(tmp_path / "same"), str(tmp_path / "other")
    result = _invoke.ok("train", "--config", config, "-o", same)
    assert result.stderr.splitlines()[0] == f"configuration of {config}"
    first, second = (load_checkpoint(Path(run) / "last.pt") for run in (_run(tmp_path), same))
    assert first.training["config"] == second.training["config"]
    assert first.metrics == second.metrics
    result = _invoke("train", "--config", config, "--epochs", "1", "--lr", "0.02", "-o", other)
    assert not missing(result.stderr.splitlines()[0], str(config), "epochs 2 (here 1)")
    assert load_checkpoint(Path(other) / "last.pt").training["config"]["seed"] == 3


def test_a_recipe_is_printed_and_overridden_one_by_one(
    arguments: list[str], tmp_path: Path
) -> None:
    arguments += ["--recipe", "imagenet", "--hold-out", "2"]
    result = _invoke.ok(*arguments)
    lines = result.stderr.splitlines()
    assert lines[0].startswith("recipe imagenet: ImageNet 2012 as in Section V-A: 50 images per")
    assert lines[1] == (
        "  sets epochs 60 (here 2), batch-size 256 (here 8), strategy coop, lr 0.01, momentum 0.9, "
        "weight-decay 0.0001, distill-lambda 0.9, temperature 1.0, dataset imagefolder, input-size "
        "224x224 (here 8x8), hold-out 50 (here 2), augmentation resize-crop-flip"
    )


def test_options_reach_the_run(arguments: list[str], tmp_path: Path) -> None:
    arguments += ["--strategy", "branches-only", "--accumulate", "2", "--amp", "bf16"]
    arguments += ["--no-channels-last", "--augmentation", "none", "--skip-corrupt"]
    broken = tmp_path / "images" / "dark" / "broken.png"
    broken.write_bytes(b"x")
    result = _invoke.ok(*arguments)
    lines = result.stderr.splitlines()
    assert lines[1] == f"imagefolder: left out 1 unreadable images: {broken}"
    assert lines[3:5] == [
        "4 epochs of 2 batches of 8 images, on cpu",
        "2 epochs each: backbone, branches",
    ]
    starts = ["backbone, epoch 1/4", "backbone, epoch 2/4", "branches, epoch 3/4"]
    assert [line.partition("  ")[0] for line in lines[5:8]] == starts
    stored = load_checkpoint(Path(_run(tmp_path)) / "last.pt").training["config"]
    assert (stored["accumulate"], stored["amp"], stored["channels_last"]) == (2, "bf16", False)
    assert stored["data"]["augmentation"] == "none"


def _expected(
    capsys: pytest.CaptureFixture[str], seconds: Iterable[float], first: StepStatus
) -> list[str]:
    """Return what is said of the time where steps take so long, from ``first`` on."""
    times = itertools.accumulate(seconds, initial=100.0)
    progress = TrainProgress(times.__next__)
    with progress.bar:
        for step in itertools.count(first.step):
            try:
                progress.step(dataclasses.replace(first, step=step))
            except StopIteration:
                break
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("seconds", "epochs", "begin", "steps", "said"),
    [
        ([0.4] * 40, 30, (1, 1), 75, "about 30 s per epoch, 15 min to go"),
        ([6.4] * 40, 30, (1, 1), 75, "about 8 min per epoch, 4 h 0 min to go"),
        ([1.5] * 40, 90, (1, 1), 5000, "about 2 h 5 min per epoch, 7 days 19 h to go"),
        ([0.4] * 40, 1, (1, 1), 60, "about 24 s per epoch, 13 s to go"),
        # of a cold process the first batches may take a hundred times as long
        ([5.0, *[0.01] * 1500], 10, (1, 1), 400, "about 4 s per epoch, 30 s to go"),
        # a run that is continued
        ([6.0] * 4, 4, (3, 51), 100, "about 10 min per epoch, 15 min to go"),
    ],
)
def test_the_time_that_a_run_will_take_is_said_once_it_is_known(
    capsys: pytest.CaptureFixture[str],
    seconds: list[float],
    epochs: int,
    begin: tuple[int, int],
    steps: int,
    said: str,
) -> None:
    epoch, step = begin
    first = StepStatus("coop", epoch, epochs, step, steps, 1.0, {"final": 0.5})
    assert _expected(capsys, seconds, first) == [said]
    assert _expected(capsys, [9.0], first) == [], "too early"
    last = dataclasses.replace(first, epoch=epochs, step=steps - 2)
    assert _expected(capsys, [9.0] * 2, last) == [], "nothing is left"


def test_the_bar_shows_the_run() -> None:
    console = Console(
        force_terminal=True, width=200, file=io.StringIO(), highlight=False, color_system=None
    )
    progress = TrainProgress(console=console)
    with progress.bar:
        status = StepStatus("stage 2", 3, 4, 5, 10, 1.25, {"exit1": 0.5, "exit2": 0.625})
        progress.step(status)
        task = progress.bar.tasks[0]
        assert (task.completed, task.total) == (25, 40)
        assert task.description == "stage 2, epoch 3/4"
        assert task.fields["status"] == "loss 1.2500  training: exit1 50.00 %  exit2 62.50 %"
        record = EpochRecord(3, 1.0, 0.1, {"final": 0.5}, None, 12.0, "stage 2", 0.25)
        progress.epochs = 4
        progress.epoch_done(record)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "stage 2, epoch 3/4  loss 1.0000  validation: final 50.00 %" in shown, shown
    assert "(12 images/s, 25 % waiting for images)" in shown


def test_a_corrupt_image_stops_a_run_that_was_not_told_to_skip_it(
    arguments: list[str], tmp_path: Path
) -> None:
    for path in (tmp_path / "images" / "dark").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    told = _invoke.refused(*arguments)
    message = (
        r"Error: .*images/dark/[0-9]\.png: not a readable image \(\w+\); replace or remove "
        r"it, or skip all such files with --skip-corrupt"
    )
    assert re.fullmatch(message, told.splitlines()[-1])
