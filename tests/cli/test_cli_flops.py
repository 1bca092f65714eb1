"""``edgeexit flops``: its JSON, its table, and what it says to wrong arguments."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import Result
from support.command_line import Command, invoke
from torch import Tensor, nn

from edgeexit.cli.flops import print_costs
from edgeexit.models import ModelSpec, MultiExitNet
from edgeexit.models.backbone import Backbone, chained

ROW = ("resnet56", "--branches", "3+1", "--num-classes", "100", "--input-size", "32")


flops = Command("flops")


def test_json_holds_exactly_the_promised_fields() -> None:
    value = flops.json(*ROW)
    exits, stages, branches = (value.pop(name) for name in ("exits", "stages", "branch_parts"))
    assert value == {
        "backbone": "resnet56",
        "branches": "3+1",
        "num_classes": 100,
        "input_size": 32,
        "baseline_macs": 125_491_456,
        "total_macs": 132_800_768,
        "uncounted": [],
    }
    fields = ["name", "macs", "backbone_macs", "branch_macs", "path_macs"]
    assert all(list(exit_) == fields for exit_ in exits)
    assert [exit_["macs"] for exit_ in exits] == [46_974_464, 87_441_920, 125_491_456]
    assert [part["name"] for part in stages] == ["stage1", "stage2", "stage3"]
    assert sum(part["macs"] for part in stages + branches) == value["total_macs"]
    assert branches[2] == {
        "name": "final",
        "macs": 64 * 100,
        "parameters": 64 * 100 + 100,
        "weight_bytes": 4 * (64 * 100 + 100),
        "activation_bytes": 4 * ((64 * 8 * 8 + 64) + (64 + 100)),  # pooling, linear
        "output_bytes": 4 * 100,
        "uncounted": [],
    }


def rows(result: Result) -> list[list[str]]:
    """Cells of every line of the tables."""
    lines = (line for line in result.stdout.splitlines() if line[:1] in "│┃")
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


def test_table_of_the_parts_in_the_order_of_execution() -> None:
    result = flops(*ROW)
    assert "multiply-accumulates (MACs)" in result.stdout
    exits, table = rows(result)[1:4], rows(result)[4:]
    assert [row[:2] for row in exits] == [
        ["exit1", "46.97M"],
        ["exit2", "87.44M"],
        ["final", "125.49M"],
    ]
    assert exits[1][4] == "91.51M"
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


@pytest.mark.parametrize(
    ("size", "expected"), [("48x48", 48), ("40x56", "40x56"), ("60000", 60000)]
)
def test_input_size_of_any_shape(size: str, expected: int | str) -> None:
    """The weights of the last one fit no memory."""
    arguments = ("resnet20", "--branches", "1+1", "--input-size", size)
    assert flops.json(*arguments)["input_size"] == expected
    title = flops(*arguments).stdout.splitlines()[0]
    assert f"{size if 'x' in size else f'{size}x{size}'} pixels" in title


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


@pytest.mark.parametrize("command", ["flops", "inspect"])
@pytest.mark.parametrize(("backbone", "classes"), [("resnet56", 100), ("resnet18", 1000)])
def test_usual_classes_are_those_that_models_lists(
    command: str, backbone: str, classes: int
) -> None:
    result = invoke(command, backbone, "--json")
    assert json.loads(result.stdout)["num_classes"] == classes


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
        (("resnet56", "--num-classes", "1"), "1 is not in the range x>=2"),
        (("resnet56", "--num-classes", "many"), "'many' is not a valid integer range"),
        (("resnet56", "--input-size", "0"), "expected pixels such as 224"),
        (("resnet56", "--input-size", "32x"), "or height x width such as 240x320, got '32x'"),
        (("resnet56", "--nonsense"), "No such option"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(arguments: tuple[str, ...], expected: str) -> None:
    assert expected in flops.refused(*arguments, code=2)
