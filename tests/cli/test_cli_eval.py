from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import edgeexit_runtime as ee
import pytest
import torch
from edgeexit_runtime.bundle.schema import encode
from support.command_line import SCREEN, Command, table_rows
from support.messages import missing

from edgeexit.cli.inputs.samples import DataOptions, data_config
from edgeexit.cost import bundle_costs, network_cost
from edgeexit.data import DataConfig, ImageData, load_data, registry
from edgeexit.evaluation import evaluate_adaptive, predict, predict_bundle
from edgeexit.formats import format_macs
from edgeexit.training.checkpoint import load_checkpoint, save_checkpoint

SIZE = (3, 8, 8)
DATA = DataConfig("digits", input_size=SIZE)


run = Command("eval")


@pytest.mark.parametrize("split", ["test", "val"])
def test_json_is_the_report_of_the_library(checkpoint: Path, split: str) -> None:
    printed = run.json(checkpoint, "--split", split)
    loaded = load_checkpoint(checkpoint)
    net = loaded.build()
    predictions = predict(net, load_data(DATA).splits[split])
    expected = encode(evaluate_adaptive(predictions, loaded.thresholds, network_cost(net)))
    assert printed.pop("checkpoint") == str(checkpoint)
    assert printed.pop("guarantee") is None
    assert printed.pop("dataset") == "digits"
    assert printed.pop("split") == split
    assert printed == expected
    assert sum(exit_["share"] > 0 for exit_ in printed["exits"]) > 1, "early exit happens"


def test_thresholds_take_the_place_of_the_checkpoints(checkpoint: Path) -> None:
    report = run.json(checkpoint, "--thresholds", "never,0")
    assert [exit_["share"] for exit_ in report["exits"]] == [0, 1, 0]
    assert [exit_["threshold"] for exit_ in report["exits"]] == [2, 0, None]
    assert report["average_macs"] == report["exits"][1]["path_macs"]


def test_table_shows_exits_and_the_comparison_with_the_backbone(checkpoint: Path) -> None:
    report = run.json(checkpoint, "--thresholds", "never,0")
    result = run.ok(checkpoint, "--thresholds", "never,0")
    assert "three_convolutions, branches n+n, on digits" in result.stdout
    cells = {row[0]: row[1:] for row in table_rows(result.stdout)}
    assert cells["exit1"][:3] == ["never", "-", "-"], "its accuracy needs a branch not paid for"
    assert cells["exit1"][-2:] == ["0.0%", "-"]
    assert cells["exit2"][-2:] == ["100.0%", f"{report['adaptive_accuracy']:.4f}"]
    assert cells["final"][0] == ""
    average, alone = (format_macs(report[name]) for name in ("average_macs", "baseline_macs"))
    ratio = f"{report['macs_ratio']:.3f}"
    accuracies = [f"{report[f'{name}_accuracy']:.4f}" for name in ("adaptive", "backbone")]
    assert cells["early exit"][1:4] == [average, ratio, accuracies[0]]
    assert cells["plain"][1:4] == [alone, "1.000", accuracies[1]]
    first = result.stdout.splitlines()[0]
    for fact in (
        f"On {report['samples']} test images",
        f"{report['adaptive_accuracy']:.1%} right",
        f"{ratio} of the backbone's MACs",
        f"alone {report['backbone_accuracy']:.1%}",
    ):
        assert fact in first, "what it means comes before the table"
    assert len(result.stdout.splitlines()) <= SCREEN


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        ("0.5", "expected one for each of the 2 branches (exit1, exit2), got 1"),
        ("0.5,high", "expected numbers from 0 to 1 or 'never', got 'high'"),
        ("0.5,1.5", "expected numbers from 0 to 1 or 'never', got '1.5'"),
        ("0.5,nan", "expected numbers from 0 to 1 or 'never', got 'nan'"),
    ],
)
def test_thresholds_that_do_not_fit(checkpoint: Path, thresholds: str, expected: str) -> None:
    assert expected in run.refused(checkpoint, "--thresholds", thresholds, code=2)


def test_cuda_that_is_not_there(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    told = run.refused(checkpoint, "--device", "cuda")
    assert not missing(told, "no CUDA device", "--device cpu or auto")


def register(monkeypatch: pytest.MonkeyPatch, data: ImageData) -> list[DataConfig]:
    """Register ``data`` as "other"; return the list of the configurations it is loaded with."""
    asked: list[DataConfig] = []

    def other(config: DataConfig) -> ImageData:
        asked.append(config)
        return data

    monkeypatch.setitem(
        registry._DATASETS._values, "other", registry.DatasetEntry(other, any_size=False)
    )
    return asked


def test_a_data_set_with_another_number_of_classes(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, replace(load_data(DATA), class_names=tuple("abcdefghijkl")))
    told = run.refused(checkpoint, "--dataset", "other")
    assert not missing(told, "other: expected", "10 classes, got 12", "--dataset")


def test_another_data_set_gets_the_networks_input_size_and_the_options(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data(DATA)
    asked = register(monkeypatch, replace(data, class_names=tuple("abcdefghij")))
    result = run.ok(
        checkpoint, "--dataset", "other", "--data-dir", "folder", "--download", "--json"
    )
    assert asked == [DataConfig("other", "folder", SIZE, download=True)]
    assert "expected the network's class 0 named 0, got a; classes are compared" in result.stderr
    assert json.loads(result.stdout)["dataset"] == "other"


@pytest.mark.parametrize(("folder", "read"), [(None, "old"), (Path("new"), "new")])
def test_images_that_have_moved(folder: Path | None, read: str) -> None:
    stored = DataConfig("imagefolder", "old", hold_out=3)
    config = data_config("imagefolder", lambda: stored, SIZE, DataOptions(data_dir=folder))
    assert config == replace(stored, data_dir=read, input_size=SIZE)


def test_images_that_were_trained_on_are_not_validated_on(checkpoint: Path, tmp_path: Path) -> None:
    """How many were held out is part of the data set, and is taken from the checkpoint."""
    stored = replace(load_checkpoint(checkpoint), data=replace(DATA, hold_out=30))
    save_checkpoint(tmp_path / "held.pt", stored)
    result = run(tmp_path / "held.pt", "--split", "val", "--json")
    assert json.loads(result.stdout)["samples"] == 300


# bundles


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Callable[..., Path]) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "out")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_bundle_is_evaluated_by_its_own_graphs(bundle: Path, backend: str) -> None:
    pytest.importorskip(backend)
    chosen = ("--backend", backend, "--device", "cpu", "--threads", "1")
    result = run.ok("--engine-dir", bundle, *chosen, "--json", "--split", "val")
    with ee.load(bundle, backend=backend, threads=1) as session:
        predictions = predict_bundle(session, load_data(DATA).splits["val"])
        manifest = session.manifest
    expected = evaluate_adaptive(predictions, manifest.thresholds, bundle_costs(manifest))
    about = {"engine_dir": str(bundle), "dataset": "digits", "split": "val"}
    assert json.loads(result.stdout) == {**about, **encode(expected), "guarantee": None}


def test_a_bundle_that_is_replaced_while_images_are_loaded(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are those of the bundle whose thresholds and costs are shown."""
    folder = Path(shutil.copytree(bundle, tmp_path / "out"))
    words = ("--engine-dir", folder, "--dataset", "other", "--json")

    def load(config: DataConfig) -> ImageData:
        shutil.rmtree(folder, ignore_errors=True)
        return load_data(DATA)

    entry = registry.DatasetEntry(load, any_size=False)
    monkeypatch.setitem(registry._DATASETS._values, "other", entry)
    expected = json.loads(run.ok("--engine-dir", bundle, "--json").stdout)
    shown = {**expected, "engine_dir": str(folder), "dataset": "other"}
    assert json.loads(run.ok(*words).stdout) == shown


def test_a_bundle_at_other_thresholds_and_what_ran_it(bundle: Path) -> None:
    result = run.ok("--engine-dir", bundle, "--thresholds", "0,never", "--device", "cpu")
    assert "fp32 by CPUExecutionProvider, on digits" in result.stdout
    assert "100.0%" in result.stdout, "everyone leaves at exit1"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "expected a checkpoint CKPT or --engine-dir, got none"),
        (["a.pt", "--engine-dir", "out"], "expected a checkpoint CKPT or --engine-dir, got both"),
        (["a.pt", "--backend", "openvino"], "--backend goes with --engine-dir"),
        (["a.pt", "--device", "gpu"], "--device: expected one of auto, cpu, cuda, got 'gpu'"),
        (["--engine-dir", "out", "--model", "a:b"], "--model goes with a checkpoint"),
        (["--engine-dir", "out", "--batch-size", "8"], "--batch-size goes with a checkpoint"),
        (["--engine-dir", "out", "--weights-key", "k"], "--weights-key goes with a checkpoint"),
        (["--engine-dir", "out", "--new-classifier"], "--new-classifier goes with a checkpoint"),
        (["--engine-dir", "out", "--mean", "0.5"], "--mean goes with a checkpoint"),
        (["--engine-dir", "out", "--std", "0.5"], "--std goes with a checkpoint"),
        (["--engine-dir", "out", "--resize", "32"], "--resize goes with a checkpoint"),
    ],
)
def test_what_does_not_go_together(options: list[str], expected: str) -> None:
    assert expected in run.refused(*options, code=2)


def test_a_bundle_in_place_of_a_checkpoint(bundle: Path) -> None:
    assert f"edgeexit eval --engine-dir {bundle}" in run.refused(bundle, code=2)
