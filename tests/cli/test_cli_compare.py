"""Runs on digits of 8x8 pixels, with few training images, side by side."""

from __future__ import annotations

import shlex
import shutil
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.command_line import Command, invoke
from support.runs import Listener

from edgeexit.data import DataConfig, load_data
from edgeexit.evaluation import leaving_exits, predict
from edgeexit.training import TrainConfig, load_checkpoint, train
from edgeexit.training.run import InterruptedRunError
from edgeexit.training.teaching.teachers import wed

pytest.importorskip("sklearn")

DATA = DataConfig("digits", input_size=(3, 8, 8), hold_out=20)
CONFIG = TrainConfig("resnet20", "1+n", DATA, epochs=1, batch_size=32, lr=0.05, device="cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs ``plain``, ``wed-seed0``, ``wed-seed1`` and ``dk``."""
    folder: Path = tmp_path_factory.mktemp("runs")
    plain = train(replace(CONFIG, branches="none", epochs=2), folder / "plain").checkpoint
    for seed in (0, 1):
        train(replace(CONFIG, distill="wed", seed=seed), folder / f"wed-seed{seed}")
    train(replace(CONFIG, distill="dk", teacher=str(plain)), folder / "dk")
    return folder


_invoke = Command("compare", "--device", "cpu")


def _json(*arguments: object) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = _invoke.json(*arguments)["groups"]
    return groups


def test_every_figure_is_that_of_the_test_images(runs: Path) -> None:
    (group,) = _json(runs / "wed-seed1", "--max-drop", 0.05)
    checkpoint = load_checkpoint(runs / "wed-seed1" / "ckpt.pt")
    test = load_data(checkpoint.data).splits["test"]
    net = checkpoint.build()
    expected = predict(net, test)
    (entry,) = group["runs"]
    for name, correct in zip(expected.exit_names, expected.correct, strict=True):
        assert group["accuracy"][name] == {"mean": correct.mean(), "std": None}
    left = leaving_exits(expected, entry["thresholds"])
    right = [expected.correct[exit_, i] for i, exit_ in enumerate(left)]
    assert group["adaptive_accuracy"]["mean"] == pytest.approx(statistics.mean(map(float, right)))
    images = torch.stack([image for image, _ in (test[i] for i in range(len(test)))])
    with torch.no_grad():
        taught = wed(net(images)).argmax(1).numpy() == expected.targets
    assert group["teacher_accuracy"]["mean"] == pytest.approx(taught.mean())
    tuned = invoke.json("tune", runs / "wed-seed1" / "ckpt.pt", "--max-drop", "0.05")
    assert tuned["thresholds"] == entry["thresholds"]


def test_runs_of_other_seeds_are_one_row(runs: Path) -> None:
    together, plain = _json(runs / "wed-seed0", runs / "plain", runs / "wed-seed1")
    assert together["name"] == "wed"
    assert [entry["name"] for entry in together["runs"]] == ["wed-seed0", "wed-seed1"]
    assert plain["name"] == "plain"
    single = [_json(runs / f"wed-seed{seed}")[0] for seed in (0, 1)]
    for value in ("adaptive_accuracy", "average_macs", "macs_ratio", "teacher_accuracy"):
        parts = [group[value]["mean"] for group in single]
        assert together[value]["mean"] == pytest.approx(statistics.mean(parts))
        assert together[value]["std"] == pytest.approx(statistics.stdev(parts))
    apart = _json(runs / "wed-seed0", runs / "wed-seed1", "--no-group")
    assert [group["name"] for group in apart] == ["wed-seed0", "wed-seed1"]


def test_limits_in_json_are_those_that_were_kept_to(runs: Path) -> None:
    none = {"min_accuracy": None, "max_drop": None, "max_cost": None, "max_path_cost": None}
    for options, given in (
        ((), {"max_drop": 0.01}),
        (("--max-cost", "100M", "--max-drop", "0.5"), {"max_cost": 1e8, "max_drop": 0.5}),
    ):
        printed = _invoke.json(runs / "wed-seed0", *options)
        assert printed["limits"] == {**none, **given}
        assert printed["split"] == "test"


def test_a_plain_backbone_has_no_early_exit(runs: Path) -> None:
    (group,) = _json(runs / "plain")
    assert list(group["accuracy"]) == ["final"]
    assert group["adaptive_accuracy"] == group["accuracy"]["final"]
    assert group["macs_ratio"]["mean"] == 1
    assert group["teacher_accuracy"] is None


def test_the_teacher_is_judged_on_the_same_images(runs: Path) -> None:
    plain, taught = _json(runs / "plain", runs / "dk")
    assert taught["teacher_accuracy"] == plain["accuracy"]["final"]


def test_a_teacher_that_is_gone(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "dk", tmp_path / "dk")
    moved = runs / "plain" / "ckpt.pt"
    away = moved.rename(tmp_path / "away.pt")
    try:
        result = _invoke(tmp_path / "dk")
    finally:
        away.rename(moved)
    assert result.exit_code == 0
    assert "the teacher of dk could not be loaded: " in result.stderr
    assert "y_t" not in result.stdout


def test_the_table_and_its_markdown(runs: Path) -> None:
    arguments = [runs / "plain", runs / "wed-seed0", runs / "wed-seed1"]
    table = _invoke.ok(*arguments)
    assert "accuracy in %, on 359 test images of digits" in table.stdout
    assert "backbone resnet20, strategy coop " in table.stdout, "what all have in common"
    assert "lowest average cost with at most 0.01 less accuracy than the backbone" in table.stdout
    lines = _invoke(*arguments, "--markdown").stdout.splitlines()
    assert lines[0].startswith("| run | backbone | branches | strategy | teacher | n | exit1 |")
    assert lines[2].startswith("| plain | resnet20 | none | coop | none | 1 |  |  | ")
    assert lines[3].startswith("| wed | resnet20 | 1+n | coop | wed | 2 | ")
    assert lines[3].count(" ± ") == 6


def test_a_run_that_is_not_finished(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(InterruptedRunError):
        train(CONFIG, tmp_path / "half way", progress=Listener((1, 1)))
    told = _invoke.refused(runs / "plain", tmp_path / "half way")
    assert "half way is not finished: epoch 0 of 1 is done" in told
    command = told.strip().partition("continue it with: edgeexit ")[2]
    assert shlex.split(command) == ["train", "--resume", "-o", str(tmp_path / "half way")]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 1, "nowhere: expected the folder of a run, with"),
        (["RUNS/plain", "--json", "--markdown"], 2, "expected at most one of --json and --markd"),
        (
            ["RUNS/plain", "--max-drop", "0.1", "--max-cost", "1"],
            1,
            "plain: no thresholds keep the average cost",
        ),
        (["RUNS/plain", "--max-path-cost", "1"], 1, "plain: no thresholds keep every path"),
    ],
)
def test_mistakes_are_explained(runs: Path, arguments: list[str], code: int, message: str) -> None:
    told = _invoke.refused(
        *(argument.replace("RUNS", str(runs)) for argument in arguments), code=code
    )
    assert message in told


def test_runs_on_other_images(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "plain", tmp_path / "moved")
    for name in ("ckpt.pt", "last.pt"):
        path = tmp_path / "moved" / name
        content = torch.load(path, weights_only=True)
        content["training"]["config"]["data"]["name"] = "cifar10"
        torch.save(content, path)
    told = _invoke.refused(runs / "plain", tmp_path / "moved")
    assert "plain and moved cannot be compared: expected the same data set, got digits" in told
