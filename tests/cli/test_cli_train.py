from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from edgeexit.cli import main
from edgeexit.cli.train import command
from edgeexit.training import TrainConfig, load_checkpoint


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


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_training_prints_a_line_per_epoch_and_what_to_do_next(
    arguments: list[str], tmp_path: Path
) -> None:
    result = _invoke(*arguments, "--distill", "wed")
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert [line.partition("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(
        name in line for line in lines for name in ("exit1", "exit2", "final", "teacher", "loss")
    )
    assert "resnet20, branches 1+n, on imagefolder: best epoch" in result.stdout
    run = _run(tmp_path)
    assert f"next: edgeexit tune {run}/ckpt.pt --max-drop 0.01 -o {run}/tuned.pt" in result.stdout
    assert load_checkpoint(Path(run) / "ckpt.pt").class_names == ("bright", "dark")


def test_json_is_all_of_stdout(arguments: list[str], tmp_path: Path) -> None:
    result = _invoke(*arguments, "--json")
    summary = json.loads(result.stdout)
    assert summary["checkpoint"] == f"{_run(tmp_path)}/ckpt.pt"
    assert summary["best_epoch"] in (1, 2)
    assert list(summary["accuracy"]) == ["exit1", "exit2", "final"]
    assert summary["finished_before"] is False


def test_resuming_takes_the_runs_options(arguments: list[str], tmp_path: Path) -> None:
    _invoke(*arguments)
    result = _invoke("train", "--resume", "-o", _run(tmp_path), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["finished_before"] is True
    assert "is finished: epoch 2 of 2 is done" in result.stderr


def test_resuming_with_another_option(arguments: list[str], tmp_path: Path) -> None:
    _invoke(*arguments)
    result = _invoke("train", "--resume", "-o", _run(tmp_path), "--epochs", "5")
    assert result.exit_code == 1
    assert "was started with --epochs 2, got 5: leave the options out" in result.stderr
    assert result.stderr.count("\n") == 1


def test_starting_over_a_run(arguments: list[str]) -> None:
    _invoke(*arguments)
    result = _invoke(*arguments)
    assert result.exit_code == 1
    assert "holds a run: continue it with --resume or choose another -o" in result.stderr


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
        (["--resume"], 1, "holds no run to continue"),
    ],
)
def test_bad_input_is_explained_without_a_traceback(
    arguments: list[str], tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    result = _invoke(*arguments, *options)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_ctrl_c_exits_with_130(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeexit.cli import train as module

    def interrupt(self: object, epoch: int, done: int, total: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module._ProgressBar, "batch", interrupt)
    result = _invoke(*arguments)
    assert result.exit_code == 130
    last = Path(_run(tmp_path)) / "last.pt"
    message = f"Error: interrupted: {last} holds epoch 1; continue it with --resume"
    assert result.stderr.splitlines()[-1] == message


@pytest.mark.parametrize(
    ("name", "missing"),
    [("backbone", "'--backbone' or '--model'"), ("dataset", "'--dataset'")],
)
def test_what_a_new_run_must_be_told(arguments: list[str], name: str, missing: str) -> None:
    at = arguments.index(f"--{name}")
    result = _invoke(*arguments[:at], *arguments[at + 2 :])
    assert result.exit_code == 2
    assert f"Missing option {missing} (or continue with --resume)" in result.stderr


def test_the_options_defaults_are_the_configurations() -> None:
    fields = {f.name: f.default for f in dataclasses.fields(TrainConfig)}
    options = command.make_context("train", ["-o", "run"]).params
    shared = [name for name, value in fields.items() if value is not dataclasses.MISSING]
    assert len(shared) == 14
    assert {name: options[name] for name in shared} == {name: fields[name] for name in shared}
