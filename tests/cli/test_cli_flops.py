"""``edgeexit flops``: its JSON, its table, and what it says to wrong arguments."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from edgeexit.cli import main

ROW = ("resnet56", "--branches", "3+1", "--num-classes", "100", "--input-size", "32")


def flops(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["flops", *arguments])


def test_json_holds_exactly_the_promised_fields() -> None:
    result = flops(*ROW, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    value = json.loads(result.stdout)
    assert list(value) == [
        "backbone",
        "branches",
        "num_classes",
        "input_size",
        "baseline_macs",
        "total_macs",
        "exits",
    ]
    assert (value["backbone"], value["branches"]) == ("resnet56", "3+1")
    assert (value["num_classes"], value["input_size"]) == (100, 32)
    assert (value["baseline_macs"], value["total_macs"]) == (125_491_456, 132_800_768)
    assert [exit_["name"] for exit_ in value["exits"]] == ["exit1", "exit2", "final"]
    fields = ["name", "macs", "backbone_macs", "branch_macs", "path_macs"]
    assert all(list(exit_) == fields for exit_ in value["exits"])
    assert [exit_["macs"] for exit_ in value["exits"]] == [46_974_464, 87_441_920, 125_491_456]
    for exit_ in value["exits"]:
        assert exit_["macs"] == exit_["backbone_macs"] + exit_["branch_macs"]


def test_table_shows_the_numbers_of_the_paper() -> None:
    result = flops(*ROW)
    assert (result.exit_code, result.stderr) == (0, "")
    for shown in ("exit1", "46.97M", "exit2", "87.44M", "91.51M", "final", "125.49M", "132.80M"):
        assert shown in result.stdout
    assert "multiply-accumulates (MACs)" in result.stdout


def test_defaults_are_the_plain_backbone_at_its_usual_size() -> None:
    value = json.loads(flops("resnet18", "--json").stdout)
    assert (value["branches"], value["num_classes"], value["input_size"]) == ("none", 1000, 224)
    assert value["baseline_macs"] == value["total_macs"] == 1_814_073_344
    assert [exit_["name"] for exit_ in value["exits"]] == ["final"]


def test_size_whose_weights_fit_no_memory() -> None:
    result = flops("resnet20", "--branches", "1+1", "--input-size", "60000", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["total_macs"] > 1e14


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("resnet-56",), "unknown backbone 'resnet-56': did you mean resnet56"),
        (
            ("resnet56", "--branches", "3"),
            "resnet56 has 2 branching points (stage1, stage2), got 1",
        ),
        (("resnet56", "--branches", "3+x"), "unknown branch 'x' in the pattern"),
        (
            ("resnet18", "--branches", "1+1+1", "--input-size", "8"),
            "use another input size",
        ),
    ],
)
def test_network_that_cannot_be_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], expected: str
) -> None:
    result = flops(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert expected in result.stderr
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("resnet56", "--num-classes", "1"),
        ("resnet56", "--num-classes", "many"),
        ("resnet56", "--input-size", "0"),
        ("resnet56", "--input-size", "32x32"),
        ("resnet56", "--nonsense"),
    ],
)
def test_wrong_arguments_are_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = flops(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr
    assert isinstance(result.exception, SystemExit)
