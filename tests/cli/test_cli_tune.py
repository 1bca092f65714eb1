from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from edgeexit_runtime.schema import encode

from edgeexit.cli import main
from edgeexit.cost import network_cost
from edgeexit.data import DataConfig, load_data
from edgeexit.evaluation import evaluate_adaptive, predict
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

SIZE = (3, 8, 8)
DATA = DataConfig("digits", input_size=SIZE)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose exits have random weights, so that no exit is better at all samples."""
    torch.manual_seed(0)
    spec = make_spec("resnet20", "3+1", 10, SIZE)
    data = load_data(DATA)
    thresholds = {"exit1": 0.9, "exit2": 0.9}
    weights = MultiExitNet(spec).state_dict()
    metrics = {"final": 0.1}
    path = tmp_path_factory.mktemp("run") / "ckpt.pt"
    save_checkpoint(
        path,
        Checkpoint(
            spec, weights, data.preprocessing, data.class_names, thresholds, DATA, {}, metrics
        ),
    )
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["tune", *map(str, arguments)])


@pytest.fixture(scope="module")
def printed(checkpoint: Path) -> dict[str, Any]:
    """What ``tune --max-drop 0.01 --json`` prints."""
    result = run(checkpoint, "--max-drop", "0.01", "--json")
    assert result.exit_code == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def message(result: Result) -> str:
    """Return the error as one line, after checking that it is one and that nothing was printed."""
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()[-1]


def test_thresholds_are_chosen_on_val_and_reported_on_both(
    checkpoint: Path, printed: dict[str, Any]
) -> None:
    assert printed["constraint"] == {"max_drop": 0.01}
    assert printed["chosen_on"] == "val"
    loaded, splits = load_checkpoint(checkpoint), load_data(DATA).splits
    net = loaded.build()
    for split in ("val", "test"):
        predictions = predict(net, splits[split])
        report = evaluate_adaptive(predictions, printed["thresholds"], network_cost(net))
        assert printed[split] == encode(report)
    val = printed["val"]
    assert val["adaptive_accuracy"] >= val["backbone_accuracy"] - 0.01
    assert val["average_macs"] < val["exits"][-1]["path_macs"]


def test_each_constraint_is_kept_on_val(checkpoint: Path, printed: dict[str, Any]) -> None:
    dropped = printed["val"]
    accuracy = dropped["adaptive_accuracy"]

    same = json.loads(run(checkpoint, "--min-accuracy", accuracy, "--json").stdout)["val"]
    assert same == dropped

    budget = (dropped["exits"][0]["path_macs"] + dropped["exits"][1]["path_macs"]) / 2
    within = json.loads(run(checkpoint, "--max-macs", f"{budget / 1e6}M", "--json").stdout)["val"]
    assert within["average_macs"] <= budget
    assert within["adaptive_accuracy"] >= within["exits"][0]["accuracy"]


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
    before, after = load_checkpoint(checkpoint), load_checkpoint(output)
    assert after.thresholds == printed["thresholds"]
    assert after.thresholds != before.thresholds
    assert after.metrics == {"final": 0.1, "tuning": printed}
    assert (after.spec, after.data, after.training) == (before.spec, before.data, before.training)
    assert after.weights.keys() == before.weights.keys()
    for name, weight in before.weights.items():
        assert torch.equal(after.weights[name], weight)


def test_output_may_be_the_input(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"
    path.write_bytes(checkpoint.read_bytes())
    assert run(path, "--max-drop", "0.01", "-o", path).exit_code == 0
    assert load_checkpoint(path).metrics["tuning"]["constraint"] == {"max_drop": 0.01}
    assert [file.name for file in tmp_path.iterdir()] == ["ckpt.pt"]


def test_without_output_one_table_has_val_and_test_and_nothing_is_written(
    checkpoint: Path, printed: dict[str, Any]
) -> None:
    before = checkpoint.read_bytes()
    result = run(checkpoint, "--max-drop", "0.01")

    assert result.exit_code == 0
    assert "nothing was written: add -o CKPT" in result.stderr
    assert checkpoint.read_bytes() == before
    assert [file.name for file in checkpoint.parent.iterdir()] == ["ckpt.pt"]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines()]
    cells = {row[0]: row[1:] for row in rows if row}
    both = [printed["val"], printed["test"]]
    assert cells["adaptive accuracy"] == [f"{report['adaptive_accuracy']:.4f}" for report in both]
    assert cells["samples"] == [str(report["samples"]) for report in both]
    shares = [f"{report['exits'][1]['share']:.1%}" for report in both]
    assert [cells["exit2"][4], cells["exit2"][7]] == shares
    assert "thresholds chosen on val" in result.stdout
    assert "lowest average cost with at most 0.01 less accuracy than the backbone" in result.stdout


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ((), "none"),
        (("--max-drop", "0.1", "--max-macs", "1M"), "--max-drop and --max-macs"),
    ],
)
def test_exactly_one_constraint(checkpoint: Path, options: tuple[str, ...], got: str) -> None:
    result = run(checkpoint, *options)
    assert result.exit_code == 2
    assert message(result) == (
        f"Error: expected exactly one of --min-accuracy, --max-drop, --max-macs, got {got}"
    )


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--min-accuracy", "95", "expected a fraction from 0 to 1: 0.95, not 95"),
        ("--max-drop", "1.5", "expected a fraction from 0 to 1: 0.015, not 1.5"),
        ("--max-drop", "-0.1", "expected a fraction from 0 to 1 such as 0.95, got '-0.1'"),
        ("--min-accuracy", "nan", "expected a fraction from 0 to 1 such as 0.95, got 'nan'"),
        ("--min-accuracy", "high", "expected a fraction from 0 to 1 such as 0.95, got 'high'"),
        ("--max-macs", "0", "expected a number of MACs such as 91.5M or 1.2G, got '0'"),
    ],
)
def test_limits_that_are_none(checkpoint: Path, option: str, value: str, expected: str) -> None:
    result = run(checkpoint, option, value)
    assert result.exit_code == 2
    assert expected in message(result)


def test_a_target_out_of_reach_leaves_nothing_behind(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "tuned.pt"
    result = run(checkpoint, "--min-accuracy", "0.99", "-o", output)
    assert result.exit_code == 1
    assert "no thresholds reach an accuracy of 0.9900" in message(result)
    result = run(checkpoint, "--max-macs", "1K", "-o", output)
    assert result.exit_code == 1
    assert "no thresholds keep the average cost within 1,000 MACs" in message(result)
    assert list(tmp_path.iterdir()) == []


def test_grid_size_is_the_searchs(checkpoint: Path) -> None:
    result = run(checkpoint, "--max-drop", "0.01", "--grid-size", "110", "--json")
    assert json.loads(result.stdout)["settings"] <= 110**2
    result = run(checkpoint, "--max-drop", "0.01", "--grid-size", "50")
    assert result.exit_code == 1
    assert "grid of at least 102 values per exit" in message(result)


def test_help_has_an_example() -> None:
    assert "edgeexit tune run/ckpt.pt --max-drop 0.01 -o run/tuned.pt" in run("--help").stdout
