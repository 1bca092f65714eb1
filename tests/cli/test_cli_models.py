"""``edgeexit models``: what it says of the registry, whatever is in it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.command_line import Command, table_rows
from support.messages import missing
from support.registries import keep_registries
from torch import nn

from edgeexit.cli.models import BackboneInfo, backbone_infos, branch_infos
from edgeexit.models import list_branches, register_backbone, register_branch
from edgeexit.models.backbone import Backbone, chained
from edgeexit.models.registry import BranchSite, branch_entry

Register = Callable[..., None]


models = Command("models")


def tiny(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    """Small enough to be counted by hand."""
    bodies = {"early": nn.Conv2d(3, 4, 1), "late": nn.Conv2d(4, 8, 1, bias=False)}
    classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))
    return Backbone(chained(bodies), classifier, exit_stages=("early",))


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry with one small backbone and one kind of branch."""
    keep_registries(monkeypatch, is_empty=True)
    register_backbone(input_size=(3, 8, 6))(tiny)

    @register_branch("maximum", token="max[0-9]", example="max1")
    def maximum(site: BranchSite, token: str) -> nn.Module:
        """Nothing but maxima | no weights,
        nor anything else.

        More words.
        """
        raise AssertionError("listing builds no branch")


def test_every_registered_backbone_is_counted_whole(
    registered_backbones: list[BackboneInfo],
) -> None:
    assert {info.name: info.uncounted for info in registered_backbones if info.uncounted} == {}


def test_published_parameters_of_resnet18(registered_backbones: list[BackboneInfo]) -> None:
    """The count in torchvision's documentation, and the paper's MACs."""
    info = next(info for info in registered_backbones if info.name == "resnet18")
    assert (info.parameters, info.macs) == (11_689_512, 1_814_073_344)
    assert info.points == ("stage1", "stage2", "stage3")
    assert info.pretrained


def test_every_kind_of_branch_is_listed_with_a_token_that_means_it() -> None:
    infos = branch_infos()
    assert [info.name for info in infos] == [entry.name for entry in list_branches()]
    for info in infos:
        assert branch_entry(info.token).name == info.name
        assert info.summary, f"{info.name}: neither its builder nor its file has a docstring"


@pytest.mark.usefixtures("own_registry")
def test_json_of_a_small_registry_by_hand() -> None:
    result = models("--json", "--num-classes", "7")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "backbones": [
            {
                "name": "tiny",
                "input_size": [3, 8, 6],
                "num_classes": 7,
                "exits": 2,
                "points": ["early"],
                "parameters": (3 * 4 + 4) + 4 * 8 + (8 * 7 + 7),
                "macs": 8 * 6 * (3 * 4 + 4 * 8) + 8 * 7,
                "uncounted": [],
                "pretrained": False,
            }
        ],
        "branches": [
            {
                "token": "max1",
                "name": "maximum",
                "summary": "Nothing but maxima | no weights, nor anything else.",
            }
        ],
    }


@pytest.mark.usefixtures("own_registry")
def test_tables_of_a_small_registry() -> None:
    result = models()
    assert (result.exit_code, result.stderr) == (0, "")
    cells = table_rows(result.stdout)
    assert ["tiny", "8x6", "100", "2", "early", "0.00M", "2912", "-"] in cells
    assert ["max1", "maximum", "Nothing but maxima | no weights, nor anything else."] in cells


@pytest.mark.usefixtures("own_registry")
def test_markdown_of_a_small_registry() -> None:
    result = models("--markdown")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "| backbone | pixels | classes | exits | branches behind | parameters | MACs "
        "| pretrained |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| tiny | 8x6 | 100 | 2 | early | 0.00M | 2912 | - |",
        "",
        "| token | branch | what it is |",
        "| --- | --- | --- |",
        "| max1 | maximum | Nothing but maxima \\| no weights, nor anything else. |",
    ]


@pytest.mark.usefixtures("own_registry")
def test_pretrained_and_what_is_not_counted_are_shown() -> None:
    def summing(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
        class Summed(nn.Conv2d):
            def forward(self, input):  # type: ignore[no-untyped-def]
                return super().forward(input).cumsum(1)

        classifier = nn.Sequential(nn.Flatten(), nn.Linear(4 * 64 * 64, num_classes))
        return Backbone(chained({"only": Summed(3, 4, 1)}), classifier, exit_stages=())

    register_backbone(input_size=(3, 64, 64), pretrained=lambda backbone: "public weights")(summing)
    info = backbone_infos()[0]
    assert (info.name, info.exits, info.points, info.num_classes) == ("summing", 1, (), 1000)
    assert (info.pretrained, info.uncounted) == (True, ("aten.cumsum",))
    row = next(line for line in models("--markdown").stdout.splitlines() if "summing" in line)
    assert row == "| summing | 64x64 | 1000 | 1 |  | 16.39M | 16.43M and more | yes |"


@pytest.mark.usefixtures("own_registry")
def test_branch_without_a_docstring_of_its_own_has_that_of_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @register_branch("bare", token="bare", example="bare")
    def bare(site: BranchSite, token: str) -> nn.Module:
        raise AssertionError

    assert branch_infos()[-1].summary == (__doc__ or "").strip()
    monkeypatch.setattr(bare, "__module__", "no_such_module")
    assert branch_infos()[-1].summary == ""


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("output", [(), ("--json",), ("--markdown",)])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no such\n  layer"), "no such layer"),
        (KeyError(), "KeyError"),
    ],
)
def test_backbone_that_cannot_be_built_is_named(
    error: Exception, reason: str, output: tuple[str, ...]
) -> None:
    def broken(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
        raise error

    register_backbone(input_size=(3, 32, 32))(broken)
    result = models(*output)
    assert (result.exit_code, result.stdout) == (2, "")
    facts = "'broken'", "100 classes", "(3, 32, 32)", reason, "fix its builder"
    assert not missing(result.stderr, *facts)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--json", "--markdown"), "expected at most one of --json and --markdown, got both"),
        (("--num-classes", "1"), "Invalid value for '--num-classes'"),
        (("resnet18",), "Got unexpected extra argument (resnet18)"),
    ],
)
def test_wrong_arguments_are_exit_code_2(arguments: tuple[str, ...], expected: str) -> None:
    result = models(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert expected in result.stderr
