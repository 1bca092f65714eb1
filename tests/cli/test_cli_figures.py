"""Figures of runs on digits of 8x8 pixels, and of a bundle of one of them."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends.onnxruntime.runner import OnnxRuntimeRunner
from edgeexit_runtime.gate import GateOutputs
from support.command_line import Command, invoke
from support.messages import missing

from edgeexit.cost import network_cost
from edgeexit.data import DataConfig, load_data
from edgeexit.evaluation import evaluate_adaptive, predict
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import TrainConfig, load_checkpoint, save_checkpoint, train

pytest.importorskip("sklearn")

DATA = DataConfig("digits", input_size=(3, 8, 8), hold_out=20)
CONFIG = TrainConfig("resnet20", "1+n", DATA, epochs=1, batch_size=32, lr=0.05, device="cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``early``, a run, ``fp16``, its bundle, and ``plain``, which is not trained."""
    folder: Path = tmp_path_factory.mktemp("runs")
    train(CONFIG, folder / "early")
    checkpoint = load_checkpoint(folder / "early" / "ckpt.pt")
    spec = make_spec("resnet20", "none", 10, DATA.input_size)
    weights = MultiExitNet(spec).state_dict()
    (folder / "plain").mkdir()
    save_checkpoint(
        folder / "plain" / "ckpt.pt",
        dataclasses.replace(checkpoint, spec=spec, weights=weights, thresholds={}),
    )
    tuned = dataclasses.replace(checkpoint, thresholds={"exit1": 0.5, "exit2": 0.6})
    save_checkpoint(folder / "early" / "tuned.pt", tuned)
    arguments = ["export", str(folder / "early" / "tuned.pt"), "--precision", "fp16"]
    invoke.ok(*arguments, "-o", str(folder / "fp16"), "--no-baseline")
    return folder


_invoke = Command("figures", "--device", "cpu")


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_figure_of_checkpoints_and_a_bundle(runs: Path, tmp_path: Path) -> None:
    result = _invoke.ok(
        *(runs / "early" / "tuned.pt", runs / "plain", runs / "fp16"),
        *("-o", tmp_path / "figures", "--json"),
    )
    written: dict[str, Any] = json.loads(result.stdout)
    by_figure: dict[str, list[list[str]]] = {}
    for figure in written["figures"]:
        by_figure.setdefault(figure["figure"], []).append(figure["networks"])
        for file in figure["files"]:
            assert Path(file).stat().st_size > 0
    each = [["early/tuned"], ["fp16"]]
    assert by_figure == {
        "confidence": each,
        "patterns": [["early/tuned", "fp16"]],
        "front": [["early/tuned", "plain", "fp16"]],
        "classes": each,
        "groups": each,
        "examples": each,
    }
    (remark,) = written["remarks"]
    without = ("confidence", "patterns", "classes", "groups", "examples")
    assert not missing(remark, "plain", "plain backbone", "not in", *without)
    assert remark in result.stderr
    files = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"confidence-early-tuned.png", "classes-fp16.pdf", "front.csv"} < files
    assert len(files) == 3 * 10


def test_the_numbers_are_those_of_eval(runs: Path, tmp_path: Path) -> None:
    path = runs / "early" / "tuned.pt"
    result = _invoke(path, "-o", tmp_path, "--only", "groups,front", "--json")
    assert [figure["figure"] for figure in json.loads(result.stdout)["figures"]] == [
        "front",
        "groups",
    ]
    checkpoint = load_checkpoint(path)
    net = checkpoint.build()
    test = predict(net, load_data(checkpoint.data).splits["test"])
    report = evaluate_adaptive(test, checkpoint.thresholds, network_cost(net))
    ways = {row["name"]: row for row in _read(tmp_path / "groups-early-tuned.csv")[-3:]}
    assert float(ways["adaptive"]["accuracy_percent"]) == 100 * report.adaptive_accuracy
    assert float(ways["adaptive"]["average_cost_macs"]) == report.average_macs
    assert float(ways["all at exit1"]["average_cost_macs"]) == report.exits[0].path_macs
    (alone,) = (row for row in _read(tmp_path / "front.csv") if row["kind"] == "backbone alone")
    assert float(alone["accuracy_percent"]) == 100 * report.backbone_accuracy


def test_a_bundle_is_drawn_of_its_own_graphs(runs: Path, tmp_path: Path) -> None:
    _invoke.ok(runs / "fp16", "-o", tmp_path, "--only", "fig11,fig9")
    test = load_data(load_checkpoint(runs / "early" / "ckpt.pt").data).splits["test"]
    with ee.load(runs / "fp16") as session:
        assert session.manifest.precision == "fp16"
        for row in _read(tmp_path / "examples-fp16.csv"):
            image = test[int(row["sample"])][0].numpy()[None]
            left = session.infer(image)
            name = session.manifest.exit_names[left.exits[0]]
            assert row["left_at"] == name
            assert row[f"answer_{name}"] == session.manifest.class_names[left.labels[0]]
            shown = float(row[f"confidence_softmax_{name}"])
            assert shown == pytest.approx(left.confidences[0], abs=1e-3)


def test_what_was_written_is_listed(runs: Path, tmp_path: Path) -> None:
    result = _invoke(runs / "early", "-o", tmp_path / "f", "--only", "confidence")
    assert result.stdout == f"{tmp_path / 'f' / 'confidence-early'}  png, pdf, csv\n"
    assert len(result.stderr.splitlines()) == 1, "what the data set holds"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["RUNS/early", "--only", "clases"], 2, "unknown figure 'clases': did you mean classes"),
        (["RUNS/nowhere.pt"], 1, "nowhere.pt: could not read the checkpoint"),
        (["RUNS"], 1, "expected a checkpoint, the folder of a run with a ckpt.pt, or the folder"),
        (["RUNS/early", "RUNS/early/ckpt.pt"], 1, "ckpt.pt: given twice; name every network once"),
        (["RUNS/plain", "--only", "groups"], 1, "nothing to draw: groups show exits, and plain "),
        (["RUNS/early", "--accuracy", "95"], 2, "expected a fraction from 0 to 1: 0.95, not 95"),
        (["RUNS/early", "--accuracy", "1", "--only", "patterns"], 1, "early: no thresholds reach"),
        (["RUNS/early", "--dataset", "digit"], 2, "unknown data set 'digit': did you mean digits"),
        (["RUNS/fp16", "--dataset", "digit"], 2, "unknown data set 'digit': did you mean digits"),
        (["RUNS/early", "--examples-per-exit", "0"], 2, "0 is not in the range 1<=x<=8"),
        (["RUNS/early", "-o", "RUNS/early/ckpt.pt"], 1, "ckpt.pt: is a file, expected a folder"),
        ([], 2, "Missing argument 'CKPT|RUN|BUNDLE...'"),
    ],
)
def test_mistakes_are_explained(
    runs: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    told = _invoke.refused(
        "-o", tmp_path, *(argument.replace("RUNS", str(runs)) for argument in arguments), code=code
    )
    assert message in told
    assert not list(tmp_path.iterdir())


def _changed_bundle(runs: Path, folder: Path, **changed: Any) -> Path:
    shutil.copytree(runs / "fp16", folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    return folder


def test_a_bundle_that_does_not_say_what_it_was_trained_on(runs: Path, tmp_path: Path) -> None:
    bundle = _changed_bundle(runs, tmp_path / "bundle", data={})
    told = _invoke.refused(bundle, "-o", tmp_path / "f", "--only", "confidence")
    assert "does not name the data it was trained on (data.name: " in told
    _invoke.ok(bundle, "-o", tmp_path / "f", "--only", "confidence", "--dataset", "digits")


@pytest.mark.slow
def test_class_names_that_no_picture_can_show(runs: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(runs / "early" / "ckpt.pt")
    names = tuple(f"\x1b[31m\ud800 {label}" for label in range(10))
    save_checkpoint(tmp_path / "ckpt.pt", dataclasses.replace(checkpoint, class_names=names))
    _invoke.ok(tmp_path / "ckpt.pt", "-o", tmp_path / "f", "--only", "classes")
    (rows,) = map(_read, (tmp_path / "f").glob("*.csv"))
    assert {row["class_name"] for row in rows} == {f"\\x1b[31m\\ud800 {i}" for i in range(10)}


def test_a_bundle_that_answers_nan(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_exit = OnnxRuntimeRunner.run_exit

    def overflowing(self: OnnxRuntimeRunner, name: str) -> GateOutputs:
        gate = run_exit(self, name)
        gate.confidences[-1] = np.nan
        return gate

    monkeypatch.setattr(OnnxRuntimeRunner, "run_exit", overflowing)
    told = _invoke.refused(runs / "fp16", "-o", tmp_path / "f")
    assert "exit1: expected confidences of 0 to 1, labels" in told
    assert "got nan to nan" in told
    assert "export it in a higher precision" in told
