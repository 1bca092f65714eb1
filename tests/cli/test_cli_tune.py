"""Thresholds of a checkpoint: limits, the front, and what is printed and written of them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edgeexit_runtime.bundle.schema import encode
from rich.console import Console
from support.command_line import SCREEN, invoke, invoke_json, message, table_rows
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
def checkpoint(shared_file: Path) -> Path:
    return shared_file


@pytest.fixture(scope="module")
def predictions(checkpoint: Path) -> dict[str, ExitPredictions]:
    net, splits = load_checkpoint(checkpoint).build(), load_data(DATA).splits
    return {split: predict(net, splits[split]) for split in ("val", "test")}


run = partial(invoke, "tune")


def run_json(*arguments: object) -> dict[str, Any]:
    """Return what is printed as JSON; nothing is written."""
    printed: dict[str, Any] = invoke_json("tune", *arguments, "--dry-run")
    return printed


@pytest.fixture(scope="module")
def printed(checkpoint: Path) -> dict[str, Any]:
    """What ``tune --max-drop 0.01 --json`` prints."""
    return run_json(checkpoint, "--max-drop", "0.01")


def test_thresholds_are_chosen_on_val_and_reported_on_both(
    checkpoint: Path, predictions: dict[str, ExitPredictions], printed: dict[str, Any]
) -> None:
    assert printed["limits"] == {
        "min_accuracy": None,
        "max_drop": 0.01,
        "max_cost": None,
        "max_path_cost": None,
    }
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


def test_no_setting_of_two_thresholds_is_better(
    checkpoint: Path, predictions: dict[str, ExitPredictions], printed: dict[str, Any]
) -> None:
    """Every pair of a coarse grid, counted one by one, loses against what was chosen."""
    val = predictions["val"]
    exits = network_cost(load_checkpoint(checkpoint).build()).exits
    best = printed["average_cost"]["val"]
    needed = val.correct[-1].mean() - 0.01
    for first in [*np.arange(0, 1.01, 0.1), 2.0]:
        for second in [*np.arange(0, 1.01, 0.1), 2.0]:
            correct, cost = 0, 0
            for sample in range(len(val.targets)):
                paid = exits[0].backbone_macs + (first <= 1) * exits[0].branch_macs
                left = 0
                if val.confidences[0, sample] < np.float32(first):
                    paid += exits[1].backbone_macs - exits[0].backbone_macs
                    paid += (second <= 1) * exits[1].branch_macs
                    left = 1
                    if val.confidences[1, sample] < np.float32(second):
                        paid += exits[2].backbone_macs - exits[1].backbone_macs
                        paid += exits[2].branch_macs
                        left = 2
                correct += bool(val.correct[left, sample])
                cost += paid
            if correct / len(val.targets) >= needed - 1e-9:
                assert cost / len(val.targets) >= best - 1e-9


def test_each_limit_is_kept_on_val(checkpoint: Path, printed: dict[str, Any]) -> None:
    dropped = printed["val"]
    accuracy = dropped["adaptive_accuracy"]
    same = run_json(checkpoint, "--min-accuracy", accuracy)
    assert same["val"] == dropped

    budget = (dropped["exits"][0]["path_macs"] + dropped["exits"][1]["path_macs"]) / 2
    within = run_json(checkpoint, "--max-cost", f"{budget / 1e3}K")["val"]
    assert within["average_macs"] <= budget
    assert within["adaptive_accuracy"] >= within["exits"][0]["accuracy"]


def test_the_dearest_path_is_kept_to_for_every_image(
    checkpoint: Path, predictions: dict[str, ExitPredictions], printed: dict[str, Any]
) -> None:
    """Both branches cannot be had on the way to final: one of them has to be switched off."""
    paths = printed["objective"]["paths"]
    limit = paths["final"] - 1
    found = run_json(checkpoint, "--max-drop", "0.02", "--max-path-cost", limit)
    off = [name for name, value in found["thresholds"].items() if value == 2]
    assert off
    for split in ("val", "test"):
        leaving = [exit_ for exit_ in found[split]["exits"] if exit_["share"] > 0]
        assert max(exit_["path_macs"] for exit_ in leaving) <= limit
    for setting in found["front"]:
        branches = found["objective"]["branches"]
        on = [name for name, value in setting["thresholds"].items() if value <= 1]
        dearest = paths["final"] - sum(branches[n] for n in branches if n not in (*on, "final"))
        first_to_all = any(value == 0 for value in setting["thresholds"].values())
        assert dearest <= limit or first_to_all


def test_a_path_that_is_too_dear_for_all_settings(checkpoint: Path, tmp_path: Path) -> None:
    result = run(checkpoint, "--max-path-cost", "10", "-o", tmp_path / "tuned.pt")
    assert result.exit_code == 1
    told = message(result)
    assert "no thresholds keep every path within 10 MACs" in told
    lowest = told.rpartition("costs ")[2].partition(";")[0].replace(",", "")
    found = run_json(checkpoint, "--max-path-cost", lowest)
    assert found["thresholds"]["exit1"] == 0, "all leave at the first exit"
    assert found["average_cost"]["val"] == float(lowest)
    assert list(tmp_path.iterdir()) == []


def test_accuracy_and_cost_together(checkpoint: Path, printed: dict[str, Any]) -> None:
    accuracy, cost = printed["val"]["adaptive_accuracy"], printed["val"]["average_macs"]
    both = run_json(checkpoint, "--min-accuracy", accuracy, "--max-cost", cost + 1)
    assert both["thresholds"] == printed["thresholds"]
    assert both["limits"]["min_accuracy"] == accuracy
    assert both["limits"]["max_cost"] == cost + 1

    result = run(checkpoint, "--min-accuracy", accuracy, "--max-cost", cost - 1)
    assert result.exit_code == 1
    told = message(result)
    assert "no thresholds are as accurate as asked for within the average cost" in told
    assert f"accuracy {accuracy:.4f} at {cost:,.0f} MACs" in told


def test_output_is_the_checkpoint_with_thresholds_and_report(
    checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tuned.pt"
    result = run(checkpoint, "--max-drop", "0.01", "-o", output, "--json")

    assert result.exit_code == 0, result.stderr
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
    assert run(path, "--max-drop", "0.01", "-o", path).exit_code == 0
    assert load_checkpoint(path).metrics["tuning"]["limits"]["max_drop"] == 0.01
    assert [file.name for file in tmp_path.iterdir()] == ["ckpt.pt"]


def test_the_default_output_is_beside_the_checkpoint(tiny_file: Path, tmp_path: Path) -> None:
    run_folder = tmp_path / "my run"
    run_folder.mkdir()
    path, output = run_folder / "ckpt.pt", run_folder / "ckpt.tuned.pt"
    path.write_bytes(tiny_file.read_bytes())
    for drop in (0.01, 0.02):  # what was tuned before is replaced
        result = run(path, "--max-drop", drop)
        assert result.exit_code == 0, result.stderr
        assert result.stderr.splitlines()[-1] == f"wrote {output}"
        following = result.stdout.splitlines()[-1].removeprefix("next: edgeexit ")
        assert shlex.split(following) == ["export", str(output)]
        assert load_checkpoint(output).metrics["tuning"]["limits"]["max_drop"] == drop
    assert path.read_bytes() == tiny_file.read_bytes()

    result = run(output, "--max-drop", "0.03")
    assert result.exit_code == 0, result.stderr
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
        result = run(tiny_file, "--max-drop", "0.01")
        assert result.exit_code == 1
        assert str(output) in message(result)
        assert message(result).endswith("choose another -o")
        assert output.read_bytes() == before


def shown_drop(printed: dict[str, Any], split: str) -> str:
    report, near = printed[split], printed["intervals"][split]["accuracy_drop"]
    drop = report["backbone_accuracy"] - report["adaptive_accuracy"]
    return f"{drop:.4f} [{near['low']:.4f}, {near['high']:.4f}]"


def test_a_dry_run_prints_what_the_thresholds_give_and_writes_nothing(
    checkpoint: Path, printed: dict[str, Any]
) -> None:
    before = checkpoint.read_bytes()
    result = run(checkpoint, "--max-drop", "0.01", "--dry-run")

    assert result.exit_code == 0
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


def test_intervals_hold_what_is_reported(printed: dict[str, Any]) -> None:
    for split in ("val", "test"):
        report, near = printed[split], printed["intervals"][split]
        drop = report["backbone_accuracy"] - report["adaptive_accuracy"]
        for name, value in (
            ("adaptive_accuracy", report["adaptive_accuracy"]),
            ("backbone_accuracy", report["backbone_accuracy"]),
            ("accuracy_drop", drop),
            ("average_cost", printed["average_cost"][split]),
        ):
            assert near[name]["low"] <= value <= near[name]["high"]
        # of N samples, a share p is off by 1.96 sqrt(p (1 - p) / N)
        accuracy, samples = report["adaptive_accuracy"], report["samples"]
        width = 2 * 1.96 * (accuracy * (1 - accuracy) / samples) ** 0.5
        got = near["adaptive_accuracy"]
        assert got["high"] - got["low"] == pytest.approx(width, rel=0.15)


def test_without_limits_the_front_is_shown_and_nothing_is_written(
    checkpoint: Path, printed: dict[str, Any]
) -> None:
    before = checkpoint.read_bytes()
    result = run(checkpoint)
    assert result.exit_code == 0, result.stderr
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


def test_output_without_limits_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    result = run(checkpoint, "-o", tmp_path / "tuned.pt")
    assert result.exit_code == 2
    limits = "--min-accuracy, --max-drop, --max-cost, --max-path-cost"
    assert not missing(message(result), "-o", limits)
    assert list(tmp_path.iterdir()) == []


def test_the_front_as_csv(
    checkpoint: Path, predictions: dict[str, ExitPredictions], tmp_path: Path
) -> None:
    file = tmp_path / "front.csv"
    printed = run_json(checkpoint, "--front", file)
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert list(rows[0]) == [
        "exit1_threshold",
        "exit2_threshold",
        "val_accuracy",
        "val_average_macs",
        "test_accuracy",
        "test_average_macs",
    ]
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
    result = run(checkpoint, "--max-drop", "0.01", "--plot", tmp_path / name)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert f"wrote {tmp_path / name}" in result.stderr


def test_a_picture_of_no_known_kind_is_refused_before_any_work(tmp_path: Path) -> None:
    """Before the checkpoint, which is not there, is even looked for."""
    result = run(tmp_path / "none.pt", "--plot", "front.gif")
    assert result.exit_code == 1
    assert "front.gif: expected a picture's name that ends in .png, .pdf, .svg" in message(result)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "expected a checkpoint CKPT or --engine-dir, got none"),
        (["CKPT", "--engine-dir", "out"], "expected a checkpoint CKPT or --engine-dir, got both"),
        (
            ["CKPT", "--objective", "macs", "--costs", "c.json"],
            "--objective sets the unit of costs, and so does --costs",
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
    result = run(*(files.get(option, option) for option in options))
    assert result.exit_code == 2
    assert expected in message(result)
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
    result = run(checkpoint, option, value)
    assert result.exit_code == 2
    assert expected in message(result)


def test_a_target_out_of_reach_leaves_nothing_behind(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "tuned.pt"
    result = run(checkpoint, "--min-accuracy", "1", "-o", output)
    assert result.exit_code == 1
    assert "no thresholds reach an accuracy of 1.0000" in message(result)
    result = run(checkpoint, "--max-cost", "1K", "-o", output)
    assert result.exit_code == 1
    assert "no thresholds keep the average cost within 1,000 MACs" in message(result)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["-o", "--front", "--plot"])
def test_a_file_that_cannot_be_written(checkpoint: Path, tmp_path: Path, option: str) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = run(checkpoint, "--max-drop", "0.01", option, blocked / "x.png")
    assert result.exit_code == 1
    assert f"could not write {blocked / 'x.png'}: " in message(result)


def test_grid_size_is_the_searchs(checkpoint: Path) -> None:
    assert run_json(checkpoint, "--max-drop", "0.01", "--grid-size", "110")["settings"] <= 110**2
    result = run(checkpoint, "--max-drop", "0.01", "--grid-size", "50")
    assert result.exit_code == 1
    assert "grid of at least 102 values per exit" in message(result)


def test_more_than_three_branches_are_searched_locally(
    tmp_path: Path, tiny_checkpoint: Callable[[str], Checkpoint]
) -> None:
    path, output = tmp_path / "deep.pt", tmp_path / "tuned.pt"
    save_checkpoint(path, tiny_checkpoint("n+n+n+n"))
    result = run(path, "--max-drop", "0.01", "--grid-size", 102, "-o", output)
    assert result.exit_code == 0, result.stderr
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
    assert run(path).exit_code == 0
    result = run(path, "--max-cost", "1")
    assert result.exit_code == 1
    assert "(no branches)" in message(result)


def test_help_has_an_example() -> None:
    assert "edgeexit tune run/ckpt.pt --max-drop 0.01\n" in run("--help").stdout
