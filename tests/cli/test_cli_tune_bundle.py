"""Thresholds of a bundle: chosen by its own graphs and its own time, written into it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
import torch
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME
from edgeexit_runtime.system.locks import lock_folder
from support.command_line import invoke, message
from support.full_disk import full_disk
from support.messages import missing

from edgeexit.bench import BenchOptions
from edgeexit.data import DataConfig, load_data

DATA = DataConfig("digits", input_size=(3, 8, 8))


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def made(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_bundle: Callable[..., Path],
) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / request.param, request.param)


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy, since tune writes into it."""
    return Path(shutil.copytree(made, tmp_path / "bundle"))


@pytest.fixture(autouse=True)
def no_long_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    def quick(**options: Any) -> BenchOptions:
        return BenchOptions(**options, rounds=3, warm_up_s=0)

    monkeypatch.setattr("edgeexit.bench.BenchOptions", quick)


run = partial(invoke, "tune", "--device", "cpu")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def answers(folder: Path, split: str) -> tuple[Any, Any, Any]:
    """Return confidences (M, N) and correctness (M, N) of the bundle's own graphs, and manifest."""
    dataset = load_data(DATA).splits[split]
    images = torch.stack([image for image, _ in dataset]).numpy()
    targets = np.array([target for _, target in dataset])
    parts = []
    with ee.load(folder, providers=("CPUExecutionProvider",), threads=1) as session:
        manifest = session.manifest
        for start in range(0, len(images), manifest.max_batch):
            parts.append(session.infer_all_exits(images[start : start + manifest.max_batch]))
    confidences = np.concatenate([part.confidences for part in parts], axis=1)
    labels = np.concatenate([part.labels for part in parts], axis=1)
    return confidences, labels == targets, manifest


def outcome(
    confidences: Any, correct: Any, thresholds: list[float], costs: dict[str, Any]
) -> tuple[float, float]:
    """Return accuracy and average cost, written out sample by sample."""
    names = list(costs["paths"])
    right, total = 0, 0.0
    for sample in range(correct.shape[1]):
        left = next(
            (
                place
                for place, threshold in enumerate(thresholds)
                if confidences[place, sample] >= np.float32(threshold)
            ),
            len(thresholds),
        )
        right += bool(correct[left, sample])
        total += costs["paths"][names[left]]
        for name, threshold in zip(names[: left + 1], thresholds, strict=False):
            total -= costs["branches"][name] * (threshold == 2)
    return right / correct.shape[1], total / correct.shape[1]


def test_the_bundles_own_answers_choose_its_thresholds(bundle: Path) -> None:
    before = contents(bundle)
    result = run("--engine-dir", bundle, "--max-drop", "0.02", "--json", "--grid-size", "102")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    confidences, correct, manifest = answers(bundle, "val")
    costs = {
        "paths": {exit_.name: exit_.path_macs for exit_ in manifest.exits},
        "branches": {exit_.name: exit_.branch_macs for exit_ in manifest.exits},
    }
    chosen = printed["thresholds"]
    assert manifest.thresholds == chosen

    # all 102 x 102 settings, by hand: samples by exit are all that is needed
    grid = [np.float32(value) for value in [*np.arange(101) / 100, 2]]
    needed = correct[-1].mean() - 0.02 - 1e-9
    best = min(
        (cost, -first, -second)
        for first in grid
        for second in grid
        if (found := by_hand(confidences, correct, first, second, costs))[0] >= needed
        for cost in [found[1]]
    )
    for name, value in zip(chosen, best[1:], strict=True):
        assert chosen[name] == pytest.approx(-value)
    accuracy, cost = outcome(confidences, correct, list(chosen.values()), costs)
    assert printed["val"]["adaptive_accuracy"] == pytest.approx(accuracy)
    assert printed["average_cost"]["val"] == pytest.approx(cost)
    assert cost == pytest.approx(best[0])
    accuracy, cost = outcome(*answers(bundle, "test")[:2], list(chosen.values()), costs)
    assert printed["test"]["adaptive_accuracy"] == pytest.approx(accuracy)
    assert printed["average_cost"]["test"] == pytest.approx(cost)

    check_only_thresholds_changed(before, contents(bundle), chosen)
    assert f"wrote these thresholds into {bundle}" in result.stderr


def by_hand(
    confidences: Any, correct: Any, first: np.float32, second: np.float32, costs: dict[str, Any]
) -> tuple[float, float]:
    at_first = confidences[0] >= first
    at_second = ~at_first & (confidences[1] >= second)
    at_final = ~at_first & ~at_second
    masks = (at_first, at_second, at_final)
    paid = list(costs["paths"].values())
    saved = [costs["branches"]["exit1"] * (first == 2), costs["branches"]["exit2"] * (second == 2)]
    paid = [paid[0] - saved[0], paid[1] - sum(saved), paid[2] - sum(saved)]
    right = sum(int(correct[place][mask].sum()) for place, mask in enumerate(masks))
    total = sum(int(mask.sum()) * cost for mask, cost in zip(masks, paid, strict=True))
    return right / len(at_first), total / len(at_first)


def check_only_thresholds_changed(
    before: dict[str, bytes], after: dict[str, bytes], thresholds: dict[str, float]
) -> None:
    assert before.keys() == after.keys(), "no temporary file is left"
    changed = [name for name in before if before[name] != after[name]]
    assert changed == [MANIFEST_NAME]
    old, new = (json.loads(content[MANIFEST_NAME]) for content in (before, after))
    for exit_ in old["exits"][:-1]:
        exit_["threshold"] = thresholds[exit_["name"]]
    expected = old.pop("expected"), new.pop("expected")
    assert old == new
    assert expected[0] != expected[1]
    assert expected[1]["thresholds"] == thresholds


def test_it_runs_with_what_was_written(bundle: Path) -> None:
    """Early exit itself gives what was reported."""
    result = run("--engine-dir", bundle, "--max-drop", "0.02", "--json")
    printed = json.loads(result.stdout)
    dataset = load_data(DATA).splits["test"]
    with ee.load(bundle, providers=("CPUExecutionProvider",), threads=1) as session:
        assert session.manifest.thresholds == printed["thresholds"]
        assert session.expected is not None
        assert session.expected.data == "digits, val"
        counts = session.expected.cells(session.manifest.exit_names).sum(axis=1)
        shares = [exit_["share"] for exit_ in printed["val"]["exits"]]
        assert (counts / session.expected.images).tolist() == pytest.approx(shares)
        got = [session.infer(image.numpy()[None]) for image, _ in dataset]
    labels = np.concatenate([one.labels for one in got])
    right = np.mean(labels == [target for _, target in dataset])
    assert printed["test"]["adaptive_accuracy"] == pytest.approx(right)
    left_at = np.concatenate([one.exits for one in got])
    for place, exit_ in enumerate(printed["test"]["exits"]):
        assert exit_["share"] == pytest.approx(np.mean(left_at == place))


@pytest.mark.parametrize("options", [["--dry-run", "--max-drop", "0.02"], []])
def test_a_dry_run_or_no_limit_changes_nothing(bundle: Path, options: list[str]) -> None:
    before = contents(bundle)
    result = run("--engine-dir", bundle, *options)
    assert result.exit_code == 0, result.stderr
    assert contents(bundle) == before
    told = "a dry run" if options else "nothing was chosen: add a limit"
    assert told in result.stderr


def test_a_target_out_of_reach_leaves_the_bundle_as_it_was(bundle: Path) -> None:
    before = contents(bundle)
    result = run("--engine-dir", bundle, "--min-accuracy", "1")
    assert result.exit_code == 1
    assert "no thresholds reach an accuracy of 1.0000" in message(result)
    assert contents(bundle) == before


def test_a_bundle_that_is_being_built_is_not_tuned(bundle: Path) -> None:
    before = contents(bundle)
    with lock_folder(bundle):
        result = run("--engine-dir", bundle, "--max-drop", "0.02")
        assert result.exit_code == 1
        assert f"process {os.getpid()} is writing to it; wait" in message(result)
        result = run("--engine-dir", bundle, "--max-drop", "0.02", "--dry-run")
        assert result.exit_code == 0, "what writes nothing need not wait"
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


def test_latency_is_measured_and_chosen_by(bundle: Path) -> None:
    result = run(
        *("--engine-dir", bundle, "--objective", "latency", "--threads", "1"),
        *("--max-drop", "0.02", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    objective = printed["objective"]
    assert objective["unit"] == "ms"
    assert re.match(r"medians of \d+ calls on .*, CPUExecutionProvider", objective["source"])
    assert f"measured: {objective['source']}" in result.stderr
    assert set(objective["paths"]) == {"exit1", "exit2", "final"}
    assert all(value > 0 for value in objective["paths"].values())
    for split in ("val", "test"):
        confidences, correct, manifest = answers(bundle, split)
        chosen = [printed["thresholds"][name] for name in ("exit1", "exit2")]
        accuracy, cost = outcome(confidences, correct, chosen, objective)
        assert printed[split]["adaptive_accuracy"] == pytest.approx(accuracy)
        assert printed["average_cost"][split] == pytest.approx(cost)
        near = printed["intervals"][split]["average_cost"]
        assert near["low"] - 1e-9 <= cost <= near["high"] + 1e-9
    assert manifest.thresholds == printed["thresholds"]
    # none of the front is cheaper and accurate enough
    needed = printed["val"]["backbone_accuracy"] - 0.02
    better = [
        setting["val"]["average_cost"]
        for setting in printed["front"]
        if setting["val"]["accuracy"] >= needed - 1e-9
    ]
    assert min(better) == pytest.approx(printed["average_cost"]["val"])


def test_another_backend_answers_and_is_measured(bundle: Path) -> None:
    pytest.importorskip("openvino")
    result = run(
        *("--engine-dir", bundle, "--objective", "latency", "--threads", "1", "--dry-run"),
        *("--max-drop", "0.02", "--backend", "openvino"),
    )
    assert result.exit_code == 0, result.stderr
    assert "OpenVINO CPU" in result.stderr
    assert "CPUExecutionProvider" not in result.stderr


def test_the_next_command_names_the_backend(bundle: Path) -> None:
    result = run("--engine-dir", bundle, "--max-drop", "0.02", "--backend", "onnxruntime")
    assert result.exit_code == 0, result.stderr
    assert "edgeexit bench --engine-dir" in result.stdout
    assert "--backend onnxruntime" in result.stdout


def test_latency_in_the_tables(bundle: Path, tmp_path: Path) -> None:
    front = tmp_path / "front.csv"
    result = run(
        *("--engine-dir", bundle, "--objective", "latency", "--threads", "1", "--dry-run"),
        *("--max-drop", "0.02", "--front", front),
    )
    assert result.exit_code == 0, result.stderr
    for words in ("of the backbone's ms", " ms ┃", "MACs"):
        assert words in result.stdout
    assert "val_average_ms" in front.read_text().splitlines()[0]


def test_a_bundle_without_the_plain_backbone_has_nothing_to_compare_with(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST_NAME).read_text())
    manifest["baseline"] = None
    (bundle / MANIFEST_NAME).write_text(json.dumps(manifest))
    before = contents(bundle)
    result = run("--engine-dir", bundle, "--objective", "latency", "--max-drop", "0.02")
    assert result.exit_code == 1
    assert "baseline" in message(result)
    assert contents(bundle) == before


def test_a_bundle_whose_data_is_not_told(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST_NAME).read_text())
    manifest["data"] = {}
    (bundle / MANIFEST_NAME).write_text(json.dumps(manifest))
    result = run("--engine-dir", bundle, "--max-drop", "0.02")
    assert result.exit_code == 1
    assert "give --dataset" in message(result)
    result = run("--engine-dir", bundle, "--max-drop", "0.02", "--dataset", "digits", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["dataset"] == "digits"


def test_a_bundle_whose_data_is_gone(bundle: Path, tmp_path: Path) -> None:
    result = run(
        *("--engine-dir", bundle, "--max-drop", "0.02"),
        *("--dataset", "imagefolder", "--data-dir", tmp_path / "none"),
    )
    assert result.exit_code == 1
    assert str(tmp_path / "none") in message(result)


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    result = run("--engine-dir", tmp_path, "--max-drop", "0.02")
    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) in message(result)


def test_a_bundle_is_told_from_a_checkpoint(bundle: Path, tmp_path: Path) -> None:
    spaced = tmp_path / "it's a bundle"
    spaced.symlink_to(bundle)
    result = run(spaced, "--max-drop", "0.02")
    assert result.exit_code == 2
    told = message(result)
    assert told.startswith(f"Error: {spaced} is a bundle")
    typed = shlex.split(told.partition(": edgeexit ")[2])
    assert typed == ["tune", "--engine-dir", str(spaced)]
