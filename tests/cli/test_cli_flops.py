"""``edgeexit flops``: its JSON, its table, and what it says to wrong arguments."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest
from click.testing import Result
from support.command_line import invoke
from torch import Tensor, nn

from edgeexit.cli.flops import print_costs
from edgeexit.models import ModelSpec, MultiExitNet
from edgeexit.models.backbone import Backbone, chained

ROW = ("resnet56", "--branches", "3+1", "--num-classes", "100", "--input-size", "32")


flops = partial(invoke, "flops")


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
        "stages",
        "branch_parts",
        "uncounted",
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
    assert [part["name"] for part in value["stages"]] == ["stage1", "stage2", "stage3"]
    assert [part["name"] for part in value["branch_parts"]] == ["exit1", "exit2", "final"]
    part_fields = [
        "name",
        "macs",
        "parameters",
        "weight_bytes",
        "activation_bytes",
        "output_bytes",
        "uncounted",
    ]
    parts = value["stages"] + value["branch_parts"]
    assert all(list(part) == part_fields for part in parts)
    assert sum(part["macs"] for part in parts) == value["total_macs"]
    assert value["branch_parts"][2] == {
        "name": "final",
        "macs": 64 * 100,
        "parameters": 64 * 100 + 100,
        "weight_bytes": 4 * (64 * 100 + 100),
        "activation_bytes": 4 * ((64 * 8 * 8 + 64) + (64 + 100)),  # pooling, linear
        "output_bytes": 4 * 100,
        "uncounted": [],
    }
    assert value["uncounted"] == []


def test_table_shows_the_numbers_of_the_paper() -> None:
    result = flops(*ROW)
    assert (result.exit_code, result.stderr) == (0, "")
    for shown in ("exit1", "46.97M", "exit2", "87.44M", "91.51M", "final", "125.49M", "132.80M"):
        assert shown in result.stdout
    assert "multiply-accumulates (MACs)" in result.stdout


def rows(result: Result) -> list[list[str]]:
    """Cells of every line of the tables."""
    lines = (line for line in result.stdout.splitlines() if line[:1] in "│┃")
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


def test_table_of_the_parts_in_the_order_of_execution() -> None:
    table = rows(flops(*ROW))[4:]
    assert table[0] == ["part", "MACs", "share", "parameters", "weights MB", "activations MB"]
    assert [row[0] for row in table[1:]] == [
        "stage1",
        "exit1",
        "stage2",
        "exit2",
        "stage3",
        "final",
        "all",
    ]
    assert table[6] == ["final", "6400", "0.0%", "6,500", "0.026", "0.017"]
    assert table[7][:3] == ["all", "132.80M", "100.0%"]
    columns = [[float(row[column].replace(",", "")) for row in table[1:]] for column in (3, 4, 5)]
    for *parts, total in columns:
        assert sum(parts) == pytest.approx(total, abs=0.004)


@pytest.mark.parametrize(("size", "expected"), [("48", 48), ("48x48", 48), ("40x56", "40x56")])
def test_input_size_of_any_shape(size: str, expected: int | str) -> None:
    value = json.loads(flops("resnet20", "--input-size", size, "--json").stdout)
    assert value["input_size"] == expected
    height, _, width = size.partition("x")
    pixels = int(height) * int(width or height)
    weights1 = 9 * (3 * 16 + 6 * 16 * 16)  # 3x3 convolutions of each resolution, inputs x outputs
    weights2 = 9 * (16 * 32 + 5 * 32 * 32)
    weights3 = 9 * (32 * 64 + 5 * 64 * 64)
    expected_macs = pixels * weights1 + pixels // 4 * weights2 + pixels // 16 * weights3
    assert [stage["macs"] for stage in value["stages"]] == [expected_macs]
    assert value["stages"][0]["output_bytes"] == 4 * 64 * pixels // 16


def test_title_shows_height_and_width() -> None:
    title = flops("resnet20", "--input-size", "40x56").stdout.splitlines()[0]
    assert "resnet20, branches none, 100 classes, 40x56 pixels" in title


def test_operators_that_are_not_counted_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    class Summed(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input).cumsum(1).cumprod(1)

    classifier = nn.Sequential(nn.Flatten(), nn.Linear(4 * 8 * 8, 5))
    backbone = Backbone(chained({"only": Summed(3, 4, 1)}), classifier, exit_stages=())
    net = MultiExitNet(ModelSpec("own", 5, (3, 8, 8)), backbone)
    print_costs(net, as_json=True)
    value = json.loads(capsys.readouterr().out)
    assert value["uncounted"] == ["aten.cumprod", "aten.cumsum"]
    assert value["stages"][0]["uncounted"] == ["aten.cumprod", "aten.cumsum"]
    assert value["branch_parts"][0]["uncounted"] == []
    print_costs(net, as_json=False)
    line = "not counted, so the true MACs are higher: aten.cumprod, aten.cumsum"
    assert line in capsys.readouterr().out.splitlines()


def test_nothing_is_said_where_everything_is_counted() -> None:
    assert "not counted" not in flops("resnet20").stdout


def test_defaults_are_the_plain_backbone_at_its_usual_size() -> None:
    value = json.loads(flops("resnet18", "--json").stdout)
    assert (value["branches"], value["num_classes"], value["input_size"]) == ("none", 1000, 224)
    assert value["baseline_macs"] == value["total_macs"] == 1_814_073_344
    assert [exit_["name"] for exit_ in value["exits"]] == ["final"]


@pytest.mark.parametrize("command", ["flops", "inspect"])
@pytest.mark.parametrize(("backbone", "classes"), [("resnet56", 100), ("resnet18", 1000)])
def test_usual_classes_are_those_that_models_lists(
    command: str, backbone: str, classes: int
) -> None:
    result = invoke(command, backbone, "--json")
    assert json.loads(result.stdout)["num_classes"] == classes


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
        ("resnet56", "--input-size", "32x"),
        ("resnet56", "--input-size", "3x32x32"),
        ("resnet56", "--nonsense"),
    ],
)
def test_wrong_arguments_are_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = flops(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_size_that_is_none_says_what_is_expected() -> None:
    result = flops("resnet56", "--input-size", "240*320")
    expected = "expected pixels such as 224, or height x width such as 240x320, got '240*320'"
    assert expected in result.stderr
