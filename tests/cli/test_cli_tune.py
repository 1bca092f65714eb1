"""Thresholds of a checkpoint: limits, the front, and what is printed and written of them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edgeexit_runtime.bundle.schema import encode
from rich.console import Console
from support.command_line import SCREEN, Command, message, table_rows
from support.messages import missing

from edgeexit.cli.output.tune import print_tuning
from edgeexit.cost import ExitCost, ExitCosts, network_cost
from edgeexit.data import DataConfig, load_data
from edgeexit.evaluation import ExitPredictions, evaluate_adaptive, predict
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.formats import format_macs
from edgeexit.thresholds import Front, Limits
from edgeexit.thresholds.tuning import Subject, Tuning, better_than_last
from edgeexit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

DATA = DataConfig("digits", input_size=(3, 8, 8))


@pytest.fixture(scope="module")
def predictions(checkpoint: Path) -> dict[str, ExitPredictions]:
    net, splits = load_checkpoint(checkpoint).build(), load_data(DATA).splits
    return {split: predict(net, splits[split]) for split in ("val", "test")}


run = Command("tune")


def run_json(*arguments: object) -> dict[str, Any]:
    """Return what is printed as JSON; nothing is written."""
    printed: dict[str, Any] = run.json(*arguments, "--dry-run")
    return printed


@pytest.fixture(scope="module")
def printed(checkpoint: Path) -> dict[str, Any]:
    """What ``tune --max-drop 0.01 --json`` prints."""
    return run_json(checkpoint, "--max-drop", "0.01")


def test_thresholds_are_chosen_on_val_and_reported_on_both(
    checkpoint: Path, predictions: dict[str, ExitPredictions], printed: dict[str, Any]
) -> None:
    assert printed["limits"]["max_drop"] == 0.01
    assert printed["chosen_on"] == "val"
    assert printed["exact"] is True
    assert printed["better_than_last"] == better_than_last(predictions["val"])
    cost = network_cost(load_checkpoint(checkpoint).build())
    for split, answers in predictions.items():
        report = evaluate_adaptive(answers, printed["thresholds"], cost)
        assert printed[split] == encode(report)
        assert printed["average_cost"][split] == pytest.approx(report.average_macs, rel=1e-12)
    val = printed["val"]
    assert val["adaptive_accuracy"] >= val["backbone_accuracy"] - 0.01
    assert val["average_macs"] < val["exits"][-1]["path_macs"]
    objective = printed["objective"]
    assert (objective["unit"], objective["source"]) == ("MACs", "Eq. 5")
    assert objective["paths"] == {exit_.name: exit_.path_macs for exit_ in cost.exits}
    assert objective["baseline"] == cost.baseline_macs


def test_each_limit_is_kept_on_val(checkpoint: Path, printed: dict[str, Any]) -> None:
    dropped = printed["val"]
    accuracy = dropped["adaptive_accuracy"]
    same = run_json(checkpoint, "--min-accuracy", accuracy)
    assert same["val"] == dropped

    budget = (dropped["exits"][0]["path_macs"] + dropped["exits"][1]["path_macs"]) / 2
    within = run_json(checkpoint, "--max-cost", f"{budget / 1e3}K")["val"]
    assert within["average_macs"] <= budget
    assert within["adaptive_accuracy"] >= within["exits"][0]["accuracy"]


def test_a_path_that_is_too_dear_for_all_settings(checkpoint: Path, tmp_path: Path) -> None:
    told = run.refused(checkpoint, "--max-path-cost", "10", "-o", tmp_path / "tuned.pt")
    assert "no thresholds keep every path within 10 MACs" in told
    lowest = told.rpartition("costs ")[2].partition(";")[0].replace(",", "")
    found = run_json(checkpoint, "--max-path-cost", lowest)
    assert found["thresholds"]["exit1"] == 0, "all leave at the first exit"
    assert found["average_cost"]["val"] == float(lowest)
    assert list(tmp_path.iterdir()) == []


def test_output_is_the_checkpoint_with_thresholds_and_report(
    checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tuned.pt"
    result = run.ok(checkpoint, "--max-drop", "0.01", "-o", output, "--json")
    assert f"wrote {output}" in result.stderr
    printed = json.loads(result.stdout)
    assert printed.pop("checkpoint") == str(checkpoint)
    assert printed.pop("output") == str(output)
    assert printed.pop("front")
    before, after = load_checkpoint(checkpoint), load_checkpoint(output)
    assert after.thresholds == printed["thresholds"]
    assert after.thresholds != before.thresholds
    assert after.metrics == {"final": 0.5, "tuning": printed}
    assert (after.spec, after.data, after.training) == (before.spec, before.data, before.training)
    assert after.temperatures == before.temperatures == {}
    assert after.weights.keys() == before.weights.keys()
    for name, weight in before.weights.items():
        assert torch.equal(after.weights[name], weight)


def test_output_may_be_the_input(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"
    path.write_bytes(checkpoint.read_bytes())
    run.ok(path, "--max-drop", "0.01", "-o", path)
    assert load_checkpoint(path).metrics["tuning"]["limits"]["max_drop"] == 0.01
    assert [file.name for file in tmp_path.iterdir()] == ["ckpt.pt"]


def test_the_default_output_is_beside_the_checkpoint(tiny_file: Path, tmp_path: Path) -> None:
    run_folder = tmp_path / "my run"
    run_folder.mkdir()
    path, output = run_folder / "ckpt.pt", run_folder / "ckpt.tuned.pt"
    path.write_bytes(tiny_file.read_bytes())
    for drop in (0.01, 0.02):  # what was tuned before is replaced
        result = run.ok(path, "--max-drop", drop)
        assert result.stderr.splitlines()[-1] == f"wrote {output}"
        following = result.stdout.splitlines()[-1].removeprefix("next: edgeexit ")
        assert shlex.split(following) == ["export", str(output)]
        assert load_checkpoint(output).metrics["tuning"]["limits"]["max_drop"] == drop
    assert path.read_bytes() == tiny_file.read_bytes()

    result = run.ok(output, "--max-drop", "0.03")
    told, _, wrote = result.stderr.splitlines()
    assert not missing(told, str(output), "tuned already", "replaced")
    assert wrote == f"wrote {output}"
    assert load_checkpoint(output).metrics["tuning"]["limits"]["max_drop"] == 0.03
    assert sorted(run_folder.iterdir()) == [path, output]


def test_the_default_output_is_never_written_over_what_is_not_its_own(
    tiny_file: Path, tiny_checkpoint: Callable[[str], Checkpoint]
) -> None:
    output = tiny_file.with_name("ckpt.tuned.pt")
    tuned = {"tuning": {}}
    other = dataclasses.replace(tiny_checkpoint("none"), metrics=tuned)
    elsewhere = dataclasses.replace(
        tiny_checkpoint("n+n"), data=dataclasses.replace(DATA, hold_out=3), metrics=tuned
    )
    for foreign in (None, tiny_checkpoint("n+n"), other, elsewhere):
        output.write_text("mine")
        if foreign is not None:
            save_checkpoint(output, foreign)
        before = output.read_bytes()
        told = run.refused(tiny_file, "--max-drop", "0.01")
        assert str(output) in told
        assert told.endswith("choose another -o")
        assert output.read_bytes() == before


def shown_drop(printed: dict[str, Any], split: str) -> str:
    report, near = printed[split], printed["intervals"][split]["accuracy_drop"]
    drop = report["backbone_accuracy"] - report["adaptive_accuracy"]
    return f"{drop:.4f} [{near['low']:.4f}, {near['high']:.4f}]"


def test_a_dry_run_prints_what_the_thresholds_give_and_writes_nothing(
    checkpoint: Path, printed: dict[str, Any]
) -> None:
    before = checkpoint.read_bytes()
    result = run.ok(checkpoint, "--max-drop", "0.01", "--dry-run")
    assert "nothing was written: a dry run" in result.stderr
    assert "next:" not in result.stdout
    assert checkpoint.read_bytes() == before
    assert [file.name for file in checkpoint.parent.iterdir()] == ["ckpt.pt"]
    first, test = result.stdout.splitlines()[0], printed["test"]
    for fact in (
        f"On {test['samples']} test images",
        f"{test['adaptive_accuracy']:.1%} right",
        f"{test['average_macs'] / printed['objective']['baseline']:.3f} of the backbone's MACs",
        f"alone {test['backbone_accuracy']:.1%}",
        f"drop of {shown_drop(printed, 'test')}",
    ):
        assert fact in first, "what it means comes before the table"
    rows = table_rows(result.stdout)
    named = {row[0]: place for place, row in enumerate(rows)}
    for name, accuracy in (("early exit", "adaptive"), ("plain", "backbone")):
        near = printed["intervals"]["test"][f"{accuracy}_accuracy"]
        below = rows[named[name] + 1]
        assert rows[named[name]][4] == f"{test[f'{accuracy}_accuracy']:.4f}"
        assert below[4] == f"{near['low']:.4f}..{near['high']:.4f}"
    assert rows[named["early exit"]][2] == format_macs(test["average_macs"])
    assert rows[named["exit2"]][5] == f"{test['exits'][1]['share']:.1%}"
    said = " ".join(result.stdout.split())
    val = printed["val"]["samples"]
    assert f"chosen on {val} val images, where the drop is {shown_drop(printed, 'val')}" in said
    assert "lowest average cost with at most 0.01 less accuracy than the backbone" in said
    assert f"the best of {printed['settings']:,} settings" in said
    assert len(result.stdout.splitlines()) <= SCREEN


def test_without_limits_the_front_is_shown_and_nothing_is_written(
    checkpoint: Path, printed: dict[str, Any]
) -> None:
    before = checkpoint.read_bytes()
    result = run.ok(checkpoint)
    assert "nothing was chosen: add a limit such as --max-drop 0.01" in result.stderr
    assert checkpoint.read_bytes() == before
    front = printed["front"]
    assert f"of the {len(front)} settings on the front" in " ".join(result.stdout.split())
    rows = table_rows(result.stdout)
    assert 2 <= len(rows) <= 12
    for row, setting in ((rows[0], front[0]), (rows[-1], front[-1])):
        assert row[2] == f"{setting['val']['accuracy']:.4f}"
        assert row[4] == f"{setting['test']['accuracy']:.4f}"

    report = run_json(checkpoint)
    assert report["thresholds"] is None
    assert "val" not in report
    assert report["front"] == front


def test_the_front_as_csv(
    checkpoint: Path, predictions: dict[str, ExitPredictions], tmp_path: Path
) -> None:
    file = tmp_path / "front.csv"
    printed = run_json(checkpoint, "--front", file)
    rows = list(csv.DictReader(file.read_text().splitlines()))
    measured = ["val_accuracy", "val_average_macs", "test_accuracy", "test_average_macs"]
    assert list(rows[0]) == ["exit1_threshold", "exit2_threshold", *measured]
    assert len(rows) == len(printed["front"])
    cost = network_cost(load_checkpoint(checkpoint).build())
    for row, setting in zip(rows, printed["front"], strict=True):
        thresholds = {name: float(row[f"{name}_threshold"]) for name in ("exit1", "exit2")}
        assert thresholds == setting["thresholds"]
        for split, answers in predictions.items():
            report = evaluate_adaptive(answers, thresholds, cost)
            assert float(row[f"{split}_accuracy"]) == pytest.approx(report.adaptive_accuracy)
            assert float(row[f"{split}_average_macs"]) == pytest.approx(report.average_macs)
    for name in ("val_accuracy", "val_average_macs"):
        values = [float(row[name]) for row in rows]
        assert values == sorted(set(values)), "better and dearer from line to line"


@pytest.mark.parametrize(
    ("name", "magic"), [("front.png", b"\x89PNG"), ("front.PDF", b"%PDF"), ("front.svg", b"<?xml")]
)
def test_the_front_as_a_picture(checkpoint: Path, tmp_path: Path, name: str, magic: bytes) -> None:
    pytest.importorskip("matplotlib")
    result = run.ok(checkpoint, "--max-drop", "0.01", "--plot", tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert f"wrote {tmp_path / name}" in result.stderr
    # before the checkpoint, which is not there, is even looked for
    unknown = run(tmp_path / "none.pt", "--plot", "front.gif")
    assert "front.gif: expected a picture's name that ends in .png" in message(unknown)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "expected a checkpoint CKPT or --engine-dir, got none"),
        (["CKPT", "--engine-dir", "out"], "expected a checkpoint CKPT or --engine-dir, got both"),
        (
            ["CKPT", "--objective", "macs", "--costs", "c.json"],
            "--objective sets the unit of costs, and so does --costs",
        ),
        (
            ["CKPT", "-o", "x.pt"],
            "-o needs a limit that chooses the thresholds: give one of "
            "--min-accuracy, --max-drop, --max-cost, --max-path-cost",
        ),
        (["CKPT", "--objective", "latency"], "latency needs a bundle: export the checkpoint"),
        (
            ["CKPT", "--dry-run", "-o", "a.pt"],
            "-o does not go with --dry-run, which writes nothing",
        ),
        (["CKPT", "--max-drop", "0", "--front", "BESIDE"], "--front and --output are the same"),
        (["CKPT", "--threads", "1"], "--threads goes with --engine-dir"),
        (["CKPT", "--backend", "openvino"], "--backend goes with --engine-dir"),
        (["CKPT", "--providers", "P"], "--providers goes with --engine-dir"),
        (["CKPT", "--device", "npu"], "--device: expected one of auto, cpu, cuda, got 'npu'"),
        (["--engine-dir", "out", "--calibrate"], "calibrate the checkpoint and export it"),
        (
            ["--engine-dir", "out", "--max-drop", "0", "-o", "x"],
            "-o does not go with --engine-dir: thresholds",
        ),
        (["--engine-dir", "out", "--model", "a:b"], "--model goes with a checkpoint"),
        (["--engine-dir", "out", "--batch-size", "8"], "--batch-size goes with a checkpoint"),
        (
            ["--engine-dir", "out", "--front", "out/manifest.json"],
            "--front out/manifest.json would be in the bundle",
        ),
        (["--engine-dir", "out", "--plot", "out/a/b.png"], "out/a/b.png would be in the bundle"),
        (["CKPT", "--front", "CKPT"], "CKPT and --front are the same file"),
        (["CKPT", "--costs", "a.csv", "--front", "./a.csv"], "--costs and --front are the same"),
        (
            ["CKPT", "--max-drop", "0", "-o", "a.png", "--plot", "a.png"],
            "--plot and --output are the same file",
        ),
    ],
)
def test_options_that_do_not_go_together(
    checkpoint: Path, options: list[str], expected: str
) -> None:
    before = checkpoint.read_bytes()
    files = {"CKPT": checkpoint, "BESIDE": checkpoint.with_name("ckpt.tuned.pt")}
    assert expected in run.refused(*(files.get(option, option) for option in options), code=2)
    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--min-accuracy", "95", "expected a fraction from 0 to 1: 0.95, not 95"),
        ("--max-drop", "1.5", "expected a fraction from 0 to 1: 0.015, not 1.5"),
        ("--max-drop", "-0.1", "expected a fraction from 0 to 1 such as 0.95, got '-0.1'"),
        ("--min-accuracy", "nan", "expected a fraction from 0 to 1 such as 0.95, got 'nan'"),
        ("--min-accuracy", "high", "expected a fraction from 0 to 1 such as 0.95, got 'high'"),
        ("--max-cost", "0", "expected a cost above 0 such as 91.5M or 1.2G of MACs, or 1.25"),
        ("--max-path-cost", "-1", "expected a cost above 0 such as 91.5M or 1.2G of MACs"),
        ("--max-cost", "inf", "expected a cost above 0 such as 91.5M or 1.2G of MACs"),
    ],
)
def test_limits_that_are_none(checkpoint: Path, option: str, value: str, expected: str) -> None:
    assert expected in run.refused(checkpoint, option, value, code=2)


def test_a_target_out_of_reach_leaves_nothing_behind(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "tuned.pt"
    told = run.refused(checkpoint, "--min-accuracy", "1", "-o", output)
    assert "no thresholds reach an accuracy of 1.0000" in told
    told = run.refused(checkpoint, "--max-cost", "1K", "-o", output)
    assert "no thresholds keep the average cost within 1,000 MACs" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["-o", "--front", "--plot"])
def test_a_file_that_cannot_be_written(checkpoint: Path, tmp_path: Path, option: str) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    told = run.refused(checkpoint, "--max-drop", "0.01", option, blocked / "x.png")
    assert f"could not write {blocked / 'x.png'}: " in told


def test_grid_size_is_the_searchs(checkpoint: Path) -> None:
    assert run_json(checkpoint, "--max-drop", "0.01", "--grid-size", "110")["settings"] <= 110**2
    told = run.refused(checkpoint, "--max-drop", "0.01", "--grid-size", "50")
    assert "grid of at least 102 values per exit" in told


def test_more_than_three_branches_are_searched_locally(
    tmp_path: Path, tiny_checkpoint: Callable[[str], Checkpoint]
) -> None:
    path, output = tmp_path / "deep.pt", tmp_path / "tuned.pt"
    save_checkpoint(path, tiny_checkpoint("n+n+n+n"))
    result = run.ok(path, "--max-drop", "0.01", "--grid-size", 102, "-o", output)
    written = load_checkpoint(output)
    tuning = written.metrics["tuning"]
    assert tuning["exact"] is False
    assert f"the best found, by local search, counting {tuning['settings']:,} settings" in (
        " ".join(result.stdout.split())
    )
    assert sorted(written.thresholds) == ["exit1", "exit2", "exit3", "exit4"]
    val = tuning["val"]
    assert val["adaptive_accuracy"] >= val["backbone_accuracy"] - 0.01
    assert val["macs_ratio"] < 1


def test_a_front_of_many_thresholds_fits_a_terminal() -> None:
    """Of ten exits, as MSDNet may have; what does not fit a line is put on the next."""
    names = [*(f"exit{place}" for place in range(1, 11)), "final"]
    costs = PathCosts.measured({name: 10.0 + i for i, name in enumerate(names)}, {}, None, "ms")
    thresholds = np.linspace(0.1234, 0.9876, 10, dtype=np.float32)[None]
    front = Front(costs, thresholds, np.array([1]), np.array([11]) * costs.steps, 1, 1, 7, False)
    test = ExitPredictions(
        tuple(names), np.ones((11, 1), np.float32), np.zeros((11, 1), np.int64), np.zeros(1, int)
    )
    nothing = ExitCosts(tuple(ExitCost(name, 1, 0, 1) for name in names))
    about = ("deep", "digits", "a file", "digits, val")
    subject = Subject(*about, nothing, costs, {"val": test, "test": test})
    out = Console(width=100, file=io.StringIO())
    print_tuning(out, Tuning(subject, Limits(), front, None, {}, {"val": 1.0}, {}))
    printed = out.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in printed
    assert "thresholds of" in printed
    assert "exit1 to exit10" in printed
    for value in thresholds[0]:
        assert f"{value:.4f}" in printed
    for cell in ("1.0000", "11", "10"):
        assert f"│{cell}│" in printed.replace(" ", "")


@pytest.mark.parametrize("limit", [(), ("--max-drop", "0.01")])
def test_an_exit_that_is_better_than_the_last_is_said(
    tmp_path: Path, tiny_checkpoint: Callable[[str], Checkpoint], limit: tuple[str, ...]
) -> None:
    checkpoint = tiny_checkpoint("n+n")
    weights = {
        name: torch.zeros_like(value) if name.startswith("backbone.classifier") else value
        for name, value in checkpoint.weights.items()
    }
    path = tmp_path / "untrained.pt"
    save_checkpoint(path, dataclasses.replace(checkpoint, weights=weights))
    better = run_json(path, *limit)["better_than_last"]
    best = max(better, key=lambda name: float(better[name]))
    text = " ".join(run(path, *limit, "--dry-run").stdout.split())
    assert text.count("better than the last exit") == 1
    assert f"{best} is better than the last exit ({100 * better[best]:.1f} against 10.0 %" in text
    for cause in ("not trained enough, train longer", "preprocessed differently"):
        assert cause in text


def test_a_plain_backbone_has_nothing_to_choose(
    tmp_path: Path, tiny_checkpoint: Callable[[str], Checkpoint]
) -> None:
    path = tmp_path / "plain.pt"
    save_checkpoint(path, tiny_checkpoint("none"))
    printed = run_json(path, "--max-drop", "0", "--front", tmp_path / "front.csv")
    assert printed["thresholds"] == {}
    assert printed["val"]["macs_ratio"] == 1
    assert len(printed["front"]) == printed["settings"] == 1
    assert (tmp_path / "front.csv").read_text().startswith("val_accuracy,val_average_macs,")
    run.ok(path)
    assert "(no branches)" in run.refused(path, "--max-cost", "1")
