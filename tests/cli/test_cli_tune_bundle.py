"""Thresholds of a bundle: chosen by its own graphs and its own time, written into it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME
from edgeexit_runtime.bundle.schema import encode
from edgeexit_runtime.system.locks import lock_folder
from support.command_line import Command, message
from support.full_disk import full_disk
from support.messages import missing

from edgeexit.bench import BenchOptions
from edgeexit.cost import bundle_costs
from edgeexit.data import DataConfig, load_data
from edgeexit.evaluation import PathCosts, evaluate_adaptive, predict_bundle
from edgeexit.thresholds.tuning import judge

DATA = DataConfig("digits", input_size=(3, 8, 8))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Callable[..., Path]) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "fp16", "fp16")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy, since tune writes into it."""
    return Path(shutil.copytree(made, tmp_path / "bundle"))


@pytest.fixture(autouse=True)
def no_long_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    def quick(**options: Any) -> BenchOptions:
        return BenchOptions(**options, rounds=3, warm_up_s=0)

    monkeypatch.setattr("edgeexit.bench.BenchOptions", quick)


run = Command("tune", "--device", "cpu")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_bundles_own_answers_choose_its_thresholds(bundle: Path) -> None:
    before = contents(bundle)
    result = run.ok("--engine-dir", bundle, "--max-drop", "0.02", "--json")
    assert f"wrote these thresholds into {bundle}" in result.stderr
    printed = json.loads(result.stdout)
    chosen = printed["thresholds"]
    splits = load_data(DATA).splits
    with ee.load(bundle, providers=("CPUExecutionProvider",), threads=1) as session:
        manifest = session.manifest
        assert manifest.thresholds == chosen
        for split in ("val", "test"):
            answers = predict_bundle(session, splits[split])
            report = evaluate_adaptive(answers, chosen, bundle_costs(manifest))
            assert printed[split] == encode(report)
            assert printed["average_cost"][split] == pytest.approx(report.average_macs)
        left_at = np.concatenate([session.infer(x.numpy()[None]).exits for x, _ in splits["test"]])
    shares = np.bincount(left_at, minlength=3) / len(left_at)
    assert [exit_["share"] for exit_ in printed["test"]["exits"]] == pytest.approx(shares)

    after = contents(bundle)
    assert before.keys() == after.keys(), "no temporary file is left"
    assert [name for name in before if before[name] != after[name]] == [MANIFEST_NAME]
    old, new = (json.loads(content[MANIFEST_NAME]) for content in (before, after))
    for exit_ in old["exits"][:-1]:
        exit_["threshold"] = chosen[exit_["name"]]
    expected = old.pop("expected"), new.pop("expected")
    assert old == new
    assert (expected[1]["thresholds"], expected[1]["data"]) == (chosen, "digits, val")
    counts = [sum(expected[1]["histograms"][name]) for name in manifest.exit_names]
    assert [count / 360 for count in counts] == [it["share"] for it in printed["val"]["exits"]]


@pytest.mark.parametrize("options", [["--dry-run", "--max-drop", "0.02"], []])
def test_a_dry_run_or_no_limit_changes_nothing(bundle: Path, options: list[str]) -> None:
    before = contents(bundle)
    result = run.ok("--engine-dir", bundle, *options)
    assert contents(bundle) == before
    told = "a dry run" if options else "nothing was chosen: add a limit"
    assert told in result.stderr


def test_a_bundle_that_is_being_built_is_not_tuned(bundle: Path) -> None:
    before = contents(bundle)
    with lock_folder(bundle):
        told = run.refused("--engine-dir", bundle, "--max-drop", "0.02")
        assert f"process {os.getpid()} is writing to it; wait" in told
        run.ok("--engine-dir", bundle, "--max-drop", "0.02", "--dry-run")
    assert contents(bundle) == before


def test_a_manifest_that_cannot_be_written(bundle: Path) -> None:
    before = contents(bundle)
    with full_disk(room=64):  # for the lock
        result = run("--engine-dir", bundle, "--max-drop", "0.02")
    assert not missing(message(result), str(bundle), "File too large", "nothing was changed there")
    assert contents(bundle) == before


def test_an_interruption_while_writing_leaves_the_bundle_as_it_was(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(bundle)

    def interrupt(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    result = run("--engine-dir", bundle, "--max-drop", "0.02")
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    assert contents(bundle) == before


def test_latency_is_measured_and_chosen_by(bundle: Path, tmp_path: Path) -> None:
    front = tmp_path / "front.csv"
    asked = ("--objective", "latency", "--threads", "1", "--max-drop", "0.02", "--front", front)
    result = run.ok("--engine-dir", bundle, *asked, "--json")
    printed = json.loads(result.stdout)
    objective = printed["objective"]
    assert objective["unit"] == "ms"
    assert re.match(r"medians of \d+ calls on .*, CPUExecutionProvider", objective["source"])
    assert f"measured: {objective['source']}" in result.stderr
    assert all(value > 0 for value in objective["paths"].values())
    costs = PathCosts.measured(
        objective["paths"], objective["branches"], objective["baseline"], "ms"
    )
    with ee.load(bundle, providers=("CPUExecutionProvider",), threads=1) as session:
        answers = predict_bundle(session, load_data(DATA).splits["test"])
    judgement = judge(answers, printed["thresholds"], bundle_costs(session.manifest), costs)
    assert printed["average_cost"]["test"] == pytest.approx(judgement.average_cost)
    assert ee.load_manifest(bundle).thresholds == printed["thresholds"]
    assert "val_average_ms" in front.read_text().splitlines()[0]
    shown = run("--engine-dir", bundle, *asked, "--dry-run")
    for words in ("of the backbone's ms", " ms ┃", "MACs"):
        assert words in shown.stdout


def test_another_backend_answers_and_is_measured(bundle: Path) -> None:
    pytest.importorskip("openvino")
    result = run.ok(
        *("--engine-dir", bundle, "--objective", "latency", "--threads", "1", "--dry-run"),
        *("--max-drop", "0.02", "--backend", "openvino"),
    )
    assert "OpenVINO CPU" in result.stderr
    assert "CPUExecutionProvider" not in result.stderr


def test_the_next_command_names_the_backend(bundle: Path) -> None:
    result = run.ok("--engine-dir", bundle, "--max-drop", "0.02", "--backend", "onnxruntime")
    assert "edgeexit bench --engine-dir" in result.stdout
    assert "--backend onnxruntime" in result.stdout


def test_a_bundle_whose_data_is_not_told(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST_NAME).read_text())
    manifest["data"] = {}
    (bundle / MANIFEST_NAME).write_text(json.dumps(manifest))
    assert "give --dataset" in run.refused("--engine-dir", bundle, "--max-drop", "0.02")
    assert (
        run.json("--engine-dir", bundle, "--max-drop", "0.02", "--dataset", "digits")["dataset"]
        == "digits"
    )


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    told = run.refused("--engine-dir", tmp_path, "--max-drop", "0.02")
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) in told


def test_a_bundle_is_told_from_a_checkpoint(bundle: Path, tmp_path: Path) -> None:
    spaced = tmp_path / "it's a bundle"
    spaced.symlink_to(bundle)
    told = run.refused(spaced, "--max-drop", "0.02", code=2)
    assert told.startswith(f"Error: {spaced} is a bundle")
    typed = shlex.split(told.partition(": edgeexit ")[2])
    assert typed == ["tune", "--engine-dir", str(spaced)]
