"""Costs from a file, and confidences that are calibrated first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
import torch
from support.command_line import invoke, message, table_rows
from torch.utils.data import Subset

from edgeexit.data import DataConfig, load_data
from edgeexit.data.splits import stratified_split
from edgeexit.evaluation import predict
from edgeexit.evaluation.calibration import (
    collect_logits,
    expected_calibration_error,
    fit_temperature,
)
from edgeexit.training.checkpoint import Checkpoint, load_checkpoint

DATA = DataConfig("digits", input_size=(3, 8, 8))


def write(file: Path, **content: Any) -> Path:
    file.write_text(json.dumps({"unit": "mJ", **content}))
    return file


def test_a_branch_that_costs_more_than_it_saves_is_switched_off(
    checkpoint: Path, tmp_path: Path
) -> None:
    """In MACs the first branch is nearly free; in millijoules all of it would be lost."""
    costs = write(
        tmp_path / "costs.json",
        paths={"exit1": 3.0, "exit2": 3.5, "final": 4.5},
        branches={"exit1": 2.5, "exit2": 0.1},
        baseline=1.9,
    )
    by_macs = invoke.json("tune", checkpoint, "--max-drop", "0.01")
    assert by_macs["thresholds"]["exit2"] <= 1
    assert by_macs["objective"]["branches"]["exit1"] < by_macs["objective"]["paths"]["exit1"] / 50
    printed = invoke.json("tune", checkpoint, "--max-drop", "0.01", "--costs", costs)
    assert printed["thresholds"]["exit1"] == 2
    assert printed["thresholds"]["exit2"] <= 1
    assert printed["objective"] == {
        "unit": "mJ",
        "paths": {"exit1": 3.0, "exit2": 3.5, "final": 4.5},
        "branches": {"exit1": 2.5, "exit2": 0.1, "final": 0},
        "baseline": 1.9,
        "source": str(costs),
    }
    for split in ("val", "test"):
        _, second, final = printed[split]["exits"]
        by_hand = second["share"] * (3.5 - 2.5) + final["share"] * (4.5 - 2.5)
        assert printed["average_cost"][split] == pytest.approx(by_hand)


def test_the_tables_are_in_the_unit_of_the_file(checkpoint: Path, tmp_path: Path) -> None:
    costs = write(tmp_path / "costs.json", paths={"exit1": 1, "exit2": 2.5, "final": 4})
    result = invoke.ok("tune", checkpoint, "--max-cost", "2.75", "--costs", costs)
    assert "of the backbone's MACs" in result.stdout, "in mJ that is not known"
    cells = {row[0]: row[1:] for row in table_rows(result.stdout)}
    assert cells["final"][1:3] == ["4", "-"]
    assert cells["plain"][1:4] == ["-", "-", "1.000"], "the ratio of MACs is known"
    assert "highest accuracy with an average cost of at most 2.75 mJ" in result.stdout
    assert f"by mJ of {costs}" in " ".join(result.stdout.split())
    front = tmp_path / "front.csv"
    result = invoke.ok("tune", checkpoint, "--costs", costs, "--front", front)
    assert "accuracy against average mJ" in " ".join(result.stdout.split())
    assert "val_average_mJ" in front.read_text().splitlines()[0].split(",")


@pytest.mark.parametrize("limit", ["--max-cost", "--max-path-cost"])
def test_the_lowest_cost_that_is_named_can_be_asked_for(
    checkpoint: Path, tmp_path: Path, limit: str
) -> None:
    paths = {"exit1": 1.23456123, "exit2": 2.5, "final": 4}
    costs = write(tmp_path / "costs.json", paths=paths)
    told = message(invoke("tune", checkpoint, "--costs", costs, limit, "1.2"))
    assert "within 1.2 mJ" in told
    assert "1.23457" in told
    printed = invoke.json("tune", checkpoint, "--costs", costs, limit, "1.23457")
    assert printed["average_cost"]["val"] == pytest.approx(1.23456123)


def test_a_benchmark_says_what_paths_cost(checkpoint: Path, tmp_path: Path) -> None:
    """Exported, measured, and the checkpoint tuned by what was measured."""
    bundle, file = tmp_path / "bundle", tmp_path / "bench.json"
    invoke.ok("export", checkpoint, "-o", bundle)
    invoke.ok(
        *("bench", "--engine-dir", bundle, "--rounds", "2", "--warm-up", "0"),
        *("--threads", "1", "--json", file),
    )
    report = json.loads(file.read_text())
    medians = {path["name"]: path["latency"]["p50_ms"] for path in report["paths"]}
    printed = invoke.json("tune", checkpoint, "--max-drop", "0.02", "--costs", file)
    objective = printed["objective"]
    assert objective["unit"] == "ms"
    assert objective["paths"] == pytest.approx(medians)
    assert objective["baseline"] == pytest.approx(report["baseline"]["latency"]["p50_ms"])
    branches = {part["name"]: part["times_ms"] for part in report["parts"]}
    for name, ms in objective["branches"].items():
        assert ms == pytest.approx(np.quantile(branches[name], 0.1), rel=1e-6)
    thresholds = printed["thresholds"]
    saved, by_hand = 0.0, 0.0
    for exit_ in printed["test"]["exits"]:
        name = exit_["name"]
        saved += objective["branches"][name] * (thresholds.get(name) == 2)
        by_hand += exit_["share"] * (medians[name] - saved)
    assert printed["average_cost"]["test"] == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "costs.json: cannot be read (No such file or directory); give a report of"),
        ("{unit: mJ}", "costs.json: not valid JSON ("),
        ("[1, 2]", "neither a report of 'edgeexit bench --json' nor costs such as"),
        ('{"unit": "mJ"}', "(paths: missing)"),
        ('{"unit": "mJ", "paths": {}}', "(paths: expected one cost per exit, got none)"),
        ('{"unit": "mJ", "paths": {"exit1": "dear"}}', "paths"),
        (
            '{"unit": "mJ", "paths": {"exit1": 1, "final": 4}}',
            "exit1, exit2, final in this order, got those of exit1, final; measure the network",
        ),
        (
            '{"unit": "mJ", "paths": {"exit2": 1, "exit1": 3, "final": 4}}',
            "exit1, exit2, final in this order, got those of exit2, exit1, final; measure",
        ),
        (
            '{"unit": "mJ", "paths": {"exit1": -1, "exit2": 3, "final": 4}}',
            "cost of exit1: expected a number of mJ above 0, got -1",
        ),
        (
            '{"unit": "mJ", "paths": {"exit1": NaN, "exit2": 3, "final": 4}}',
            "expected finite numbers, got NaN",
        ),
        (
            '{"unit": "mJ", "paths": {"exit1": 1, "exit2": 3, "final": 4}, "baseline": 0}',
            "cost of the plain backbone: expected a number of mJ above 0, got 0",
        ),
        (
            '{"unit": "mJ", "paths": {"exit1": 1, "exit2": 3, "final": 4}, "branches": {"a": 1}}',
            "cost of the branch of a: expected 0 mJ or more, for one of exit1, exit2, final",
        ),
        (
            '{"unit": "mJ", "paths": {"exit1": 1, "exit2": 3, "final": 4}, '
            '"branches": {"exit1": 2}}',
            "cost of the branches up to exit1: expected at most the path's 1 mJ, which they are",
        ),
        (
            '{"unit": "mJ", "paths": {"exit1": 1, "exit2": 3, "final": 1e300}}',
            "expected the largest cost from 1e-13 to 1e+13 mJ, got 1e+300; choose another unit",
        ),
        (
            '{"unit": "mJ", "paths": {"exit1": 1e-320, "exit2": 3e-320, "final": 4e-320}}',
            "expected the largest cost from 1e-13 to 1e+13 mJ, got 3.9",
        ),
        ('{"unit": "", "paths": {"exit1": 1, "exit2": 3, "final": 4}}', "unit: expected a word"),
        ('{"schema_version": 1}', "costs.json"),
        ('{"schema_version": "new"}', "costs.json"),
    ],
)
def test_files_that_are_no_costs(
    checkpoint: Path, tmp_path: Path, content: str | None, expected: str
) -> None:
    file = tmp_path / "costs.json"
    if content is not None:
        file.write_text(content)
    assert expected in invoke.refused("tune", checkpoint, "--max-drop", "0.01", "--costs", file)


@pytest.fixture(scope="module")
def calibrated(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output: Path = tmp_path_factory.mktemp("calibrated") / "tuned.pt"
    invoke.ok("tune", checkpoint, "--max-drop", "0.02", "--calibrate", "-o", output)
    return output


def test_fitted_on_one_half_and_judged_on_the_other(checkpoint: Path, calibrated: Path) -> None:
    tuned = load_checkpoint(calibrated)
    tuning = tuned.metrics["tuning"]
    calibration = tuning["calibration"]
    assert calibration["temperatures"] == tuned.temperatures
    assert list(tuned.temperatures) == ["exit1", "exit2", "final"]
    val = load_data(DATA).splits["val"]
    before, after = (
        predict(load_checkpoint(path).build(), val) for path in (checkpoint, calibrated)
    )
    fitted, judged = stratified_split(before.targets, (0.5, 0.5), "calibration")
    half = Subset(val, fitted.tolist())
    logits, targets = collect_logits(load_checkpoint(checkpoint).build(), half)
    for name, temperature in tuned.temperatures.items():
        assert temperature == pytest.approx(fit_temperature(logits[name], targets))
    assert (calibration["fitted_on"], tuning["val"]["samples"]) == (len(fitted), len(judged))
    for kind, answers in (("before", before), ("after", after)):
        errors = expected_calibration_error(answers.take(judged))
        assert calibration[f"expected_calibration_error_{kind}"] == pytest.approx(errors, abs=1e-6)


def test_the_calibration_error_is_of_the_softmax(checkpoint: Path, calibrated: Path) -> None:
    options = ("--calibrate", "--score", "entropy", "--max-drop", "0.5", "--dry-run", "--json")
    by_entropy = invoke.json("tune", checkpoint, *options)
    assert by_entropy["calibration"] == load_checkpoint(calibrated).metrics["tuning"]["calibration"]


def test_temperatures_are_used_from_then_on(
    calibrated: Path, tiny_checkpoint: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    tuned = load_checkpoint(calibrated)
    test = load_data(DATA).splits["test"]
    reported = invoke.json("eval", calibrated)
    assert reported["adaptive_accuracy"] == tuned.metrics["tuning"]["test"]["adaptive_accuracy"]
    plain = tiny_checkpoint("n+n").build().eval()
    images = torch.stack([image for image, _ in test])
    with torch.no_grad():
        first = plain(images)["exit1"] / tuned.temperatures["exit1"]
    confidences = first.softmax(1).amax(1).numpy()
    leaving = (confidences >= np.float32(tuned.thresholds["exit1"])).mean()
    assert reported["exits"][0]["share"] == pytest.approx(leaving)

    bundle = tmp_path / "bundle"
    invoke.ok("export", calibrated, "-o", bundle)
    with ee.load(bundle, providers=("CPUExecutionProvider",), threads=1) as session:
        assert session.manifest.exits[0].temperature == tuned.temperatures["exit1"]
        answers = session.infer_all_exits(images[:1].numpy())
    assert answers.confidences[0, 0] == pytest.approx(confidences[0], abs=1e-4)


def test_tuning_again_keeps_the_temperatures_and_calibrating_again_gives_the_same(
    calibrated: Path, tmp_path: Path
) -> None:
    before = load_checkpoint(calibrated)
    output = tmp_path / "again.pt"
    invoke.ok("tune", calibrated, "--max-drop", "0.05", "-o", output)
    again = load_checkpoint(output)
    assert again.temperatures == before.temperatures
    assert "calibration" not in again.metrics["tuning"]
    invoke.ok("tune", calibrated, "--max-drop", "0.02", "--calibrate", "-o", output)
    twice = load_checkpoint(output)
    assert twice.temperatures == before.temperatures
    assert twice.thresholds == before.thresholds


def test_temperatures_and_what_they_gain_are_said(checkpoint: Path, calibrated: Path) -> None:
    calibration = load_checkpoint(calibrated).metrics["tuning"]["calibration"]
    result = invoke.ok("tune", checkpoint, "--calibrate")
    said = " ".join(result.stdout.split())
    assert f"fitted on {calibration['fitted_on']} images of val" in said
    errors = [calibration[f"expected_calibration_error_{kind}"] for kind in ("before", "after")]
    before, after = (f"{error['final']:.4f}" for error in errors)
    temperature = f"{calibration['temperatures']['final']:.4f}"
    final = said[said.index("final", said.index("calibration error")) :]
    assert f"final {before} before, {after} after, by temperature {temperature}" in final
