"""``edgeexit inspect``: what it says about a network, and what it says to wrong arguments."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

import pytest
import torch
from support.command_line import Command, invoke, table_rows
from support.messages import missing
from torch import nn

from edgeexit.cost import network_cost
from edgeexit.models import attach_exits, inspect_points, make_spec, partition
from edgeexit.models.factories import create_model
from edgeexit.models.multi_exit import MultiExitNet

SOURCE = """
import torch
from torch import nn

class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.one = nn.Conv2d(width, width, 3, 1, 1)
        self.two = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x):
        return x + self.two(torch.relu(self.one(x)))

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1)
        self.layer1 = Residual(8)
        self.down1 = nn.Conv2d(8, 16, 3, 2, 1)
        self.layer2 = Residual(16)
        self.down2 = nn.Conv2d(16, 32, 3, 2, 1)
        self.layer3 = Residual(32)
        self.head = nn.Linear(32, num_classes)

    def forward(self, images):
        x = self.down1(self.layer1(self.stem(images)))
        return self.head(self.layer3(self.down2(self.layer2(x))).mean((2, 3)))

class Tokens(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8)
        self.third = nn.Linear(8, 8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        return self.head(self.third(self.second(self.first(x))).mean(1))

class Flat(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(3072, 8), nn.ReLU(), nn.Linear(8, 4))

class Late(nn.Sequential):
    def __init__(self):
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 4))
        super().__init__(nn.Conv2d(3, 1, 1), nn.Conv2d(1, 64, 3, 2, 1), nn.Conv2d(64, 64, 3), *head)

class Rolled(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        x = self.norm(self.convolution(images).permute(0, 2, 3, 1))
        return self.head(torch.sort(x).values.mean((1, 2)))
"""

SLOW = pytest.mark.slow
NET = ("inspected:Net", "--input-size", "32", "--num-classes", "10")


inspect = Command("inspect")


def succeed(*arguments: str) -> str:
    result = inspect(*arguments)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


@pytest.fixture
def own(own_folder: Path) -> str:
    """The name of a module in the current folder."""
    (own_folder / "inspected.py").write_text(SOURCE)
    return "inspected"


def _model(reference: str = "inspected:Net") -> nn.Module:
    return create_model(reference, 10)


def test_what_a_network_is_and_what_to_type(own: str) -> None:
    lines = succeed(*NET).splitlines()
    parameters = sum(parameter.numel() for parameter in _model().parameters())
    assert lines == [
        "inspected:Net",
        "  class      inspected.Net",
        f"  parameters {parameters:,}",
        # 3x8, 2 of 8x8 at 32x32; 8x16, 2 of 16x16 at 16x16; 16x32, 2 of 32x32 at 8x8; 32x10
        f"  MACs       {(9 * (152 * 1024 + 640 * 256 + 2560 * 64) + 320) / 1e6:.2f}M per image",
        "  input      3x32x32",
        "  classes    10",
        "  points     12, 6 of them crossed by one tensor",
        "proposed: --model inspected:Net --exits layer1,layer2 --branches n+n",
    ]


def test_json_has_every_point(own: str) -> None:
    value = json.loads(succeed(*NET, "--json"))
    points = inspect_points(_model(), (3, 32, 32))
    assert [point["name"] for point in value["points"]] == [point.name for point in points]
    assert value["proposed"] == ["layer1", "layer2"]
    assert (value["num_classes"], value["input_size"]) == (10, [3, 32, 32])
    assert (value["registered"], value["kind"], value["uncounted"]) == (False, "inspected.Net", [])
    net = attach_exits(_model(), value["proposed"], branches="n+n", input_size=(3, 32, 32))
    cost = network_cost(net)
    assert value["macs"] == cost.baseline_macs
    by_name = {point["name"]: point for point in value["points"]}
    for number, name in enumerate(value["proposed"]):
        (crossing,) = partition(net).stages[number].outputs
        assert tuple(by_name[name]["shape"]) == crossing.shape
        assert by_name[name]["crossing_bytes"] == 4 * math.prod(crossing.shape)
        share = cost.exits[number].backbone_macs / cost.baseline_macs
        assert by_name[name]["macs_share"] == pytest.approx(share)


def test_a_network_of_torchvision() -> None:
    lines = succeed("torchvision.models:squeezenet1_1", "--input-size", "64").splitlines()
    assert "  class      torchvision.models.squeezenet.SqueezeNet" in lines
    assert "  parameters 1,235,496" in lines
    assert "  classes    1000" in lines
    assert lines[-1].startswith("proposed: --model torchvision.models:squeezenet1_1 --exits feat")


def test_points_that_one_tensor_crosses_and_all(own: str) -> None:
    value = json.loads(succeed(*NET, "--json"))
    single = [point for point in value["points"] if point["crossing"] == 1]
    several = len(value["points"]) - len(single)
    assert several > 0
    text = succeed(*NET, "--points")
    assert f"{several} more points are crossed by several tensors: --all lists them" in text
    rows = table_rows(text)
    assert [row[1] for row in rows] == [point["name"] for point in single]
    assert [row[1] for row in rows if row[0] == "*"] == value["proposed"]
    for row, point in zip(rows, single, strict=True):
        assert row[2] == "x".join(map(str, point["shape"]))
        assert row[4:] == [
            f"{point['macs_share']:.1%}",
            "1",
            f"{point['crossing_bytes'] / 1024:.1f}",
        ]
    text = succeed(*NET, "--points", "--all")
    assert "--all lists them" not in text
    assert [row[1] for row in table_rows(text)] == [point["name"] for point in value["points"]]


def test_tokens_and_channels_last_are_said_so(own: str) -> None:
    rows = table_rows(succeed(f"{own}:Tokens", "--points", "--input-size", "32"))
    assert ["8x4x4", "channels first"] in [row[2:4] for row in rows]
    assert ["16x8", "tokens, channels"] in [row[2:4] for row in rows]
    rows = table_rows(succeed(f"{own}:Rolled", "--points", "--input-size", "32"))
    assert ["16x16x8", "channels last"] in [row[2:4] for row in rows]


def test_classes_are_those_of_the_logits(own: str) -> None:
    assert "  classes    4\n" in succeed(f"{own}:Rolled", "--input-size", "32")


def test_a_network_without_a_proposal_says_where_to_look(own: str) -> None:
    lines = succeed(f"{own}:Late", "--input-size", "32").splitlines()
    assert not missing(lines[-1], "no exits are proposed", "--points")


@pytest.mark.parametrize("option", ["--points", "--num-classes=4"])
def test_a_network_without_features_says_so(own: str, option: str) -> None:
    lines = succeed(f"{own}:Flat", "--input-size", "32", option).splitlines()
    assert not missing(lines[-1], "no place for exits", "feature map or tokens")
    assert (len(lines) == 1) is (option == "--points")  # no empty table


def test_the_advice_on_a_registered_backbone_is_the_papers_pattern() -> None:
    assert succeed("resnet56").endswith(": --backbone resnet56 --branches 3+1\n")


@pytest.mark.parametrize("name", ["resnet20", pytest.param("msdnet_cifar100", marks=SLOW)])
def test_a_registered_backbone(name: str) -> None:
    value = json.loads(succeed(name, "--num-classes", "10", "--json"))
    with torch.device("meta"):
        net = MultiExitNet(make_spec(name, "none", 10))
        pattern = "+".join("n" * len(net.backbone.exit_stages))
        branched = MultiExitNet(make_spec(name, pattern, 10))
    cost = network_cost(branched)
    assert value["registered"] is True
    assert value["proposed"] == list(net.backbone.exit_stages)
    assert value["parameters"] == sum(parameter.numel() for parameter in net.parameters())
    assert value["macs"] == cost.baseline_macs
    points = {point["name"]: point for point in value["points"]}
    stages = dict(branched.backbone.named_stages())
    for number, stage in enumerate(value["proposed"]):
        read = stages[stage].outputs[-1]
        assert tuple(points[stage]["shape"]) == branched.features[read].shape
        share = cost.exits[number].backbone_macs / cost.baseline_macs
        assert points[stage]["macs_share"] == pytest.approx(share)
    several = name == "msdnet_cifar100"
    assert (points["stage1"]["crossing"] > 1) is several
    text = succeed(name, "--points")
    assert [row[1] for row in table_rows(text)] == list(points)  # of several tensors or not
    assert re.search(rf"branches have fixed places, behind .*: --backbone {name} --branches ", text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet21",), "unknown backbone 'resnet21': did you mean resnet"),
        (("no_such_module:make",), "there is no module no_such_module"),
        (
            ("nosuch.onnx",),
            "nosuch.onnx: no such file or folder; expected the path of a checkpoint",
        ),
        (("run/nosuch",), "run/nosuch: no such file or folder"),
        (("torchvision.models.resnet18",), "package.module:factory"),
        (("torchvision.models:resnet18", "--all"), "--all goes with --points"),
        (("--model", "own:Net", "--outputs", "0,9"), "got both, 'own:Net' and '0,9'"),
        ((), "expected either MODEL or --model, got neither"),
        ((__file__, "--points"), "omit the options"),
        (("torchvision.models:squeezenet1_1", "--input-size", "4"), "cannot be run on 2 images of"),
        (("resnet18", "--input-size", "0"), "expected pixels such as 224, or height x width"),
    ],
)
def test_bad_input_is_explained_without_a_traceback(
    arguments: tuple[str, ...], message: str
) -> None:
    assert message in inspect.refused(*arguments, code=2)


def test_a_folder_is_no_unknown_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("run", "resnet20"):
        (tmp_path / name).mkdir()
    assert "run/manifest.json: no such file" in inspect.refused("run")
    assert "resnet20" in succeed("resnet20"), "the backbone, not the folder"


@pytest.mark.slow
def test_the_examples_of_the_help_work(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    source = "from support.own_exits import Internal as MSDNet"
    (tmp_path / "my_models.py").write_text(source, encoding="utf-8")
    text = invoke("inspect", "--help").stdout
    examples = re.findall(r"^ +edgeexit inspect (.*)$", text, re.MULTILINE)
    *plain, with_exits, checkpoint, single = examples
    written = [checkpoint, single]
    assert written == ["run/ckpt.tuned.pt", "model.onnx"], "which other tests make and inspect"
    assert len(plain) == 2
    for example in plain:
        assert "proposed: --model" in succeed(*example.split())
    assert "--model my_models:MSDNet --outputs 0,1,2" in succeed(*with_exits.split())
    sys.modules.pop("my_models", None)
