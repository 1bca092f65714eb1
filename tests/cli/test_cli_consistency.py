"""Networks with random weights on digits of 8x8 pixels: what is printed, written and refused."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from support.command_line import invoke, table_rows

from edgeexit.data import DataConfig, load_data
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.paper.consistency.record import StudyRecord
from edgeexit.training import Checkpoint, load_checkpoint, save_checkpoint

pytest.importorskip("sklearn")

SIZE = (3, 8, 8)
DATA = DataConfig("digits", input_size=SIZE, hold_out=130)
QUICK = ("--depths", "0,1", "--runs", 2, "--epochs", 1, "--device", "cpu")


def save(path: Path, branches: str, backbone: str = "resnet20", data: DataConfig = DATA) -> None:
    torch.manual_seed(len(branches))
    spec = make_spec(backbone, branches, 10, SIZE)
    loaded = load_data(data)
    thresholds = dict.fromkeys(spec.exit_names[:-1], 0.9)
    about = (loaded.preprocessing, loaded.class_names, thresholds, data, {}, {})
    save_checkpoint(path, Checkpoint(spec, MultiExitNet(spec).state_dict(), *about))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints ``plain``, ``wide`` (1+1) and ``naive`` (n+n+...)."""
    folder: Path = tmp_path_factory.mktemp("networks")
    save(folder / "plain.pt", "none")
    save(folder / "level.pt", "1+1")
    save(folder / "naive.pt", "1+n")
    save(folder / "deeper.pt", "n+n", "resnet32")
    save(folder / "other.pt", "1+n", data=replace(DATA, hold_out=50))
    return folder


def run(folder: Path, *arguments: object) -> Result:
    names = [folder / str(a) if str(a).endswith(".pt") else a for a in arguments]
    return invoke("consistency", *map(str, names))


@pytest.fixture(scope="module")
def finished(networks: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The output folder of a small study with a control, and what the command printed."""
    output: Path = tmp_path_factory.mktemp("study") / "out"
    arguments = ("plain.pt", "level.pt", "naive.pt", *QUICK, "--control", "-o", output)
    result = run(networks, *arguments)
    assert result.exit_code == 0, result.output
    return output, result


def test_table_and_files(finished: tuple[Path, Result]) -> None:
    output, result = finished
    assert "359 test images of digits, mean ± standard deviation of 2 runs" in " ".join(
        result.stdout.split()
    )
    rows = table_rows(result.stdout)
    baseline = "the baseline, plain"
    assert [row[:2] for row in rows] == [
        *(["stage1", baseline], ["", "1+1"], ["", "1+n"], ["", "1+1, shuffled"]),
        *(["stage2", baseline], ["", "1+1"], ["", "1+n"], ["", "1+1, shuffled"]),
    ]
    assert all(" ± " in cell for row in rows if baseline not in row for cell in row[2:])
    assert sorted(path.name for path in output.iterdir()) == [
        f"consistency.{ending}" for ending in ("csv", "json", "pdf", "png")
    ]
    assert "fit 24/24  stage2  1+1, shuffled  N = 1  run 2  accuracy " in result.stderr
    assert f"wrote {output}: consistency.json, .csv, .png and .pdf" in result.stderr
    with (output / "consistency.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 12


def test_json_is_what_was_found_and_nothing_is_fitted_twice(
    networks: Path, finished: tuple[Path, Result], tmp_path: Path
) -> None:
    output = Path(shutil.copytree(finished[0], tmp_path / "out"))
    record = output / "consistency.json"
    kept = json.loads(record.read_text(encoding="utf-8"))
    for number, fit in enumerate(kept["fits"]):
        fit["accuracy"] = number / 1000  # which no fit gives on 359 images
    record.write_text(json.dumps(kept), encoding="utf-8")
    arguments = ("plain.pt", "level.pt", "naive.pt", *QUICK, "-o", output, "--json")
    result = run(networks, *arguments)
    assert result.exit_code == 0, result.output
    assert "resuming: 16 of 16 fits are finished already" in result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    assert [entry["name"] for entry in report["networks"]] == ["1+1", "1+n"]
    assert report["settings"]["fit"]["epochs"] == 1
    (cell, *_) = report["networks"][0]["cells"]
    assert (cell["stage"], cell["depth"]) == ("stage1", 0)
    fits = [fit for fit in kept["fits"] if fit["network"] == "1+1" and not fit["control"]]
    assert cell["accuracies"] == [fit["accuracy"] for fit in fits[:2]]
    assert json.loads(record.read_text(encoding="utf-8"))["fits"] == kept["fits"], "control's too"


def test_an_interrupted_command_goes_on(
    networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("plain.pt", "naive.pt", *QUICK, "-o", tmp_path / "out", "--json")
    add = StudyRecord.add

    def interrupted(self: StudyRecord, fit: Any) -> None:
        add(self, fit)
        if len(self.fits) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(StudyRecord, "add", interrupted)
        stopped = run(networks, *arguments)
    assert stopped.exit_code == 130
    assert "interrupted after 5 of 8 fits, which are kept in" in stopped.stderr
    assert stopped.stdout == ""
    whole = run(networks, *arguments[:-3], "-o", tmp_path / "whole", "--json")
    resumed = run(networks, *arguments)
    assert "resuming: 5 of 8 fits are finished already" in resumed.stderr
    assert resumed.stdout == whole.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["plain.pt"], 2, "Missing argument 'BRANCHED_CKPT...'"),
        (["plain.pt", "nowhere.pt"], 1, "nowhere.pt: could not read the checkpoint"),
        (["plain.pt", "naive.pt", "--depths", "0,0"], 2, "expected different numbers such as 0,1"),
        (["plain.pt", "naive.pt", "--depths", "-1"], 2, "such as 0,1,2,3, got '-1'"),
        (["plain.pt", "naive.pt", "--lr", "nan"], 2, "lr: expected above 0, got nan"),
        (["plain.pt", "naive.pt", "--cache-gib", "nan"], 2, "cache_bytes: expected at least 0"),
        (["plain.pt", "naive.pt", "naive.pt"], 2, "hold the same network: give it once"),
        (["plain.pt", "deeper.pt"], 2, "expected the same backbone, got resnet20 and resnet32; "),
        (["plain.pt", "other.pt"], 1, "same held-out images per class, got 130 and 50; train bo"),
        (["plain.pt", "naive.pt", "--dataset", "x"], 2, "unknown data set 'x'"),
        (["plain.pt", "naive.pt", "--model", "os:path"], 2, "os:path"),
        (["plain.pt", "naive.pt", "--lr", "1e20"], 1, "stage1  1+n  N = 0  run 1: the error of t"),
    ],
)
def test_mistakes_are_explained(
    networks: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    result = run(networks, *arguments, "--device", "cpu", "-o", tmp_path / "out")
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("name", ["consistency.csv", "consistency.pdf", "consistency.json"])
def test_files_of_somebody_elses(networks: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    result = run(networks, "plain.pt", "level.pt", *QUICK, "-o", tmp_path)
    assert result.exit_code == 1
    assert str(tmp_path / name) in result.stderr
    assert result.stderr.strip().endswith("choose another -o")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_other_settings_in_the_folder(networks: Path, finished: tuple[Path, Result]) -> None:
    output, _ = finished
    before = (output / "consistency.json").read_bytes()
    result = run(networks, "plain.pt", "level.pt", *QUICK, "--seed", 3, "-o", output)
    assert result.exit_code == 1
    assert "was made with other settings (--seed 0, now 3): give the same ones" in result.stderr
    assert (output / "consistency.json").read_bytes() == before


def test_images_from_other_folders(networks: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(networks / "naive.pt")
    moved = replace(checkpoint, data=replace(checkpoint.data, data_dir="elsewhere"))
    save_checkpoint(tmp_path / "moved.pt", moved)
    shutil.copy(networks / "plain.pt", tmp_path)
    result = run(tmp_path, "plain.pt", "moved.pt", *QUICK, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "expected the same folder of images, got the usual and elsewhere" in result.stderr


SOURCE = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes=10):
        super().__init__(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1), nn.BatchNorm2d(8),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))
"""


@pytest.mark.parametrize("baseline", ["none", "1"], ids=["not cut", "cut elsewhere"])
def test_a_network_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, baseline: str
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"own_network_{baseline}"
    Path(f"{name}.py").write_text(SOURCE, encoding="utf-8")
    own = ("--model", f"{name}:Net")

    def train(branches: str, exits: str, output: str) -> None:
        cut = ("--exits", exits) if exits else ()
        data = ("--dataset", "digits", "--input-size", "8", "--hold-out", "130", "--device", "cpu")
        arguments = ("train", *own, *cut, "--branches", branches, *data, "--epochs", "1")
        result = invoke(*arguments, "-o", output)
        assert result.exit_code == 0, result.output

    train(baseline, "" if baseline == "none" else "4", "plain")
    train("1+n", "1,4", "branched")
    result = run(tmp_path, "plain/ckpt.pt", "branched/ckpt.pt", *own, *QUICK, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert {cell["stage"] for cell in report["networks"][0]["cells"]} == {"stage1", "stage2"}
    evaluated = invoke("eval", "plain/ckpt.pt", *own, "--json")
    assert report["baseline_accuracy"] == json.loads(evaluated.stdout)["backbone_accuracy"]
    missing = run(tmp_path, "plain/ckpt.pt", "branched/ckpt.pt", *QUICK)
    assert missing.exit_code == 1
    assert "whose code is not in the checkpoint: name it again with --model" in missing.stderr
