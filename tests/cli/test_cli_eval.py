from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
import torch
from edgeexit_runtime.bundle.schema import encode
from support.command_line import SCREEN, invoke, message, table_rows
from support.messages import missing

from edgeexit.cost import bundle_costs, network_cost
from edgeexit.data import DataConfig, ImageData, load_data, registry
from edgeexit.evaluation import evaluate_adaptive, predict, predict_bundle
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

SIZE = (3, 8, 8)
DATA = DataConfig("digits", input_size=SIZE)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights, and thresholds at which about half leave at each exit."""
    torch.manual_seed(0)
    spec = make_spec("resnet20", "3+1", 10, SIZE)
    net = MultiExitNet(spec)
    data = load_data(DATA)
    medians = np.median(predict(net, data.splits["val"]).confidences[:-1], axis=1)
    thresholds = {name: float(value) for name, value in zip(spec.exit_names, medians, strict=False)}
    path = tmp_path_factory.mktemp("run") / "ckpt.pt"
    weights = net.state_dict()
    save_checkpoint(
        path,
        Checkpoint(spec, weights, data.preprocessing, data.class_names, thresholds, DATA, {}, {}),
    )
    return path


run = partial(invoke, "eval")


@pytest.mark.parametrize("split", ["test", "val"])
def test_json_is_the_report_of_the_library(checkpoint: Path, split: str) -> None:
    result = run(checkpoint, "--json", "--split", split)

    assert result.exit_code == 0, result.stderr
    loaded = load_checkpoint(checkpoint)
    net = loaded.build()
    predictions = predict(net, load_data(DATA).splits[split])
    expected = encode(evaluate_adaptive(predictions, loaded.thresholds, network_cost(net)))
    printed = json.loads(result.stdout)
    assert printed.pop("checkpoint") == str(checkpoint)
    assert printed.pop("guarantee") is None
    assert printed.pop("dataset") == "digits"
    assert printed.pop("split") == split
    assert printed == expected
    assert all(0.1 < exit_["share"] < 0.9 for exit_ in printed["exits"])


def test_thresholds_take_the_place_of_the_checkpoints(checkpoint: Path) -> None:
    result = run(checkpoint, "--json", "--thresholds", "never,0")
    report = json.loads(result.stdout)
    assert [exit_["share"] for exit_ in report["exits"]] == [0, 1, 0]
    assert [exit_["threshold"] for exit_ in report["exits"]] == [2, 0, None]
    assert report["average_macs"] == report["exits"][1]["path_macs"]


def test_table_shows_exits_and_the_comparison_with_the_backbone(checkpoint: Path) -> None:
    report = json.loads(run(checkpoint, "--json", "--thresholds", "never,0").stdout)
    result = run(checkpoint, "--thresholds", "never,0")

    assert result.exit_code == 0
    assert "resnet20, branches 3+1, on digits" in result.stdout
    cells = {row[0]: row[1:] for row in table_rows(result.stdout)}
    assert cells["exit1"][0] == "never"
    assert cells["exit1"][-2:] == ["0.0%", "-"]
    assert cells["exit2"][-2:] == ["100.0%", f"{report['adaptive_accuracy']:.4f}"]
    assert cells["final"][0] == ""
    average, alone = (f"{report[name] / 1e6:.2f}M" for name in ("average_macs", "baseline_macs"))
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
    result = run(checkpoint, "--thresholds", thresholds)
    assert result.exit_code == 2
    assert expected in message(result)


def test_a_data_set_that_does_not_exist(checkpoint: Path) -> None:
    result = run(checkpoint, "--dataset", "digit")
    assert result.exit_code == 2
    assert not missing(message(result), "unknown data set 'digit'", "digits")


def test_a_checkpoint_that_does_not_exist(tmp_path: Path) -> None:
    result = run(tmp_path / "none.pt")
    assert result.exit_code == 1
    assert "could not read the checkpoint" in message(result)


def test_cuda_that_is_not_there(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = run(checkpoint, "--device", "cuda")
    assert result.exit_code == 1
    assert not missing(message(result), "no CUDA device", "--device cpu or auto")


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
    result = run(checkpoint, "--dataset", "other")
    assert result.exit_code == 1
    assert not missing(message(result), "other: expected", "10 classes, got 12", "--dataset")


def test_a_data_set_that_is_normalized_another_way(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data(DATA)
    register(
        monkeypatch, replace(data, preprocessing=replace(data.preprocessing, std=(1.0, 1.0, 1.0)))
    )
    result = run(checkpoint, "--dataset", "other")
    assert result.exit_code == 1
    assert "other: expected the network's std (" in message(result)
    assert "got (1.0, 1.0, 1.0); choose" in message(result)


def test_another_data_set_gets_the_networks_input_size_and_the_options(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data(DATA)
    asked = register(monkeypatch, replace(data, class_names=tuple("abcdefghij")))
    result = run(checkpoint, "--dataset", "other", "--data-dir", "folder", "--download", "--json")
    assert result.exit_code == 0
    assert asked == [DataConfig("other", "folder", SIZE, download=True)]
    assert "expected the network's class 0 named 0, got a; classes are compared" in result.stderr
    assert json.loads(result.stdout)["dataset"] == "other"


def test_help_has_an_example() -> None:
    result = run("--help")
    assert "edgeexit eval run/ckpt.pt --thresholds 0.6,0.7" in result.stdout


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "expected finite values, got NaN or infinity"),
        (3e38, "expected finite logits of final, got NaN or infinity"),
    ],
)
def test_weights_that_answer_with_no_numbers(
    checkpoint: Path, tmp_path: Path, value: float, shown: str
) -> None:
    loaded = load_checkpoint(checkpoint)
    last = {"backbone.classifier.2.weight": torch.full((10, 64), value)}
    save_checkpoint(tmp_path / "bad.pt", replace(loaded, weights={**loaded.weights, **last}))
    result = run(tmp_path / "bad.pt")
    assert result.exit_code == 1
    assert shown in message(result)


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
    result = run("--engine-dir", bundle, *chosen, "--json", "--split", "val")
    assert result.exit_code == 0, result.stderr
    with ee.load(bundle, backend=backend, threads=1) as session:
        predictions = predict_bundle(session, load_data(DATA).splits["val"])
        manifest = session.manifest
    expected = evaluate_adaptive(predictions, manifest.thresholds, bundle_costs(manifest))
    about = {"engine_dir": str(bundle), "dataset": "digits", "split": "val"}
    assert json.loads(result.stdout) == {**about, **encode(expected), "guarantee": None}


def test_a_bundle_at_other_thresholds_and_what_ran_it(bundle: Path) -> None:
    result = run("--engine-dir", bundle, "--thresholds", "0,never", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
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
    ],
)
def test_what_does_not_go_together(options: list[str], expected: str) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert expected in message(result)
