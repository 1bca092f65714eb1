"""Costs against the paper's tables, closed forms, and loops written out by hand."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from edgeexit.cost import NetworkCost, network_cost
from edgeexit.models import FINAL, MultiExitNet, make_spec

PAPER = json.loads((Path(__file__).parent / "paper_tables.json").read_text(encoding="utf-8"))


# Table III is about 32x32 images; "googlenet" is registered as the network for 224x224
REGISTERED = {"table3_cifar100": {"googlenet": "googlenet_cifar"}}
# complexity-decreasing patterns, as the paper recommends; the other rows have the same parts
ALWAYS = {"3+2+1", "4+3+2", "3+1"}
# "Total" of VGG-16 with six blocks: 17,554,759,680, which is 0.0014 % too little to be rounded up
PRINTED_HIGHER = {("vgg16_bn", 17.56): 17.55}


@cache
def cost_of(backbone: str, pattern: str, num_classes: int, size: int) -> NetworkCost:
    with torch.device("meta"):  # VGG-16 and its branches weigh gigabytes
        net = MultiExitNet(make_spec(backbone, pattern, num_classes, (3, size, size)))
    return network_cost(net)


def printed_rows() -> list[Any]:
    """One parameter per row of Tables II and III."""
    rows = []
    for key in ("table2_imagenet", "table3_cifar100"):
        table = PAPER[key]
        for printed_name, printed in table["backbones"].items():
            backbone = REGISTERED.get(key, {}).get(printed_name, printed_name)
            unit = printed.get("unit", table.get("unit"))
            size = (table["num_classes"], table["input_size"])
            for pattern, row in printed["patterns"].items():
                total = row["total_flops"]
                total = PRINTED_HIGHER.get((backbone, total), total)
                expected = (row["flops"], total, printed["baseline_flops"])
                name = f"{backbone}-{pattern}"
                marks = [] if pattern in ALWAYS else [pytest.mark.slow]
                values = (backbone, pattern, *size, unit, expected)
                rows.append(pytest.param(*values, id=name, marks=marks))
    return rows


def test_every_row_of_the_tables_is_checked() -> None:
    assert len({row.id for row in printed_rows()}) == 12 + 12


@pytest.mark.parametrize(
    ("backbone", "pattern", "classes", "size", "unit", "expected"), printed_rows()
)
def test_tables_2_and_3_as_printed(
    backbone: str,
    pattern: str,
    classes: int,
    size: int,
    unit: float,
    expected: tuple[list[float], float, float],
) -> None:
    cost = cost_of(backbone, pattern, classes, size)
    f_m = [round(exit_.macs / unit, 2) for exit_ in cost.exits if exit_.name != FINAL]
    total, baseline = round(cost.total_macs / unit, 2), round(cost.baseline_macs / unit, 2)
    assert (f_m, total, baseline) == expected


PATTERNS_OF_TABLE_4 = [
    "3+1",
    *(pytest.param(pattern, marks=pytest.mark.slow) for pattern in ("1+3", "2+2")),
]


@pytest.mark.parametrize(("backbone", "expected"), [("resnet34", 3.66), ("resnet50", 4.09)])
def test_baselines_of_table_6_as_printed(backbone: str, expected: float) -> None:
    assert PAPER["table6_imagenet"][backbone]["baseline"][1] == expected
    assert round(cost_of(backbone, "none", 1000, 224).baseline_macs / 1e9, 2) == expected


@pytest.mark.parametrize(
    "backbone",
    ["resnet18", "resnet34", "resnet50", "vgg16", "vgg16_bn", "googlenet", "mobilenet_v2"],
)
def test_baselines_are_what_torchvision_states(backbone: str) -> None:
    """In billions, to three places."""
    stated = torchvision.models.get_model_weights(backbone).IMAGENET1K_V1.meta["_ops"]
    assert round(cost_of(backbone, "none", 1000, 224).baseline_macs / 1e9, 3) == stated


def test_the_total_that_is_printed_higher() -> None:
    """The printed one begins 240,320 MACs higher; all else in these rows is as printed."""
    total = cost_of("vgg16_bn", "3+2+1", 1000, 224).total_macs
    assert total == 17_554_759_680
    assert {("vgg16_bn", 17.56): round(total / 1e9, 2)} == PRINTED_HIGHER


def test_exact_counts() -> None:
    cost = cost_of("resnet56", "3+1", 100, 32)
    assert [exit_.macs for exit_ in cost.exits] == [46_974_464, 87_441_920, 125_491_456]
    assert cost.total_macs == 132_800_768
    assert cost.baseline_macs == 125_491_456


@pytest.mark.parametrize(
    "backbone", ["resnet56", pytest.param("resnet110", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("pattern", PATTERNS_OF_TABLE_4)
def test_branches_without_se_cost_a_little_less(backbone: str, pattern: str) -> None:
    """Section V-C.4: SE adds "less than 0.01M FLOPs"; here 2 * 64 * 4 in each of 4 blocks."""
    plain_pattern = "+".join(f"{level}p" for level in pattern.split("+"))
    excited, plain = (cost_of(backbone, each, 100, 32) for each in (pattern, plain_pattern))
    assert excited.total_macs - plain.total_macs == 4 * 2 * 64 * (64 // 16)
    assert excited.total_macs - plain.total_macs < 0.01e6
    # Table IV prints one path cost for both; ResNet-56 tells that it is the one with SE
    printed, unit = PAPER["table4_path_flops"][backbone], PAPER["table4_path_flops"]["unit"]
    assert round(excited.exits[1].path_macs / unit, 2) == printed
    without_se = {"resnet56": 91.50, "resnet110": 176.44}[backbone]
    assert round(plain.exits[1].path_macs / unit, 2) == without_se


@pytest.mark.parametrize(
    ("backbone", "pattern", "classes", "pixels", "features", "last"),
    [
        ("resnet18", "4g+3g+2g", 1000, 224, [(64, 6), (128, 4), (256, 3)], (256, 14)),
        ("resnet20", "3g+1g", 10, 32, [(16, 4), (32, 3)], (32, 16)),
    ],
)
def test_pooled_branches_cost_their_closed_form(
    backbone: str,
    pattern: str,
    classes: int,
    pixels: int,
    features: list[tuple[int, int]],
    last: tuple[int, int],
) -> None:
    """``features`` are channels and kernel of every branch's first layer; ``last`` c and size."""
    c, size = last
    w, narrow = 2 * c, c // 2
    large, small = size**2, (size // 2) ** 2  # pixels before and behind the stride
    pooled, flat = (
        cost_of(backbone, p, classes, pixels) for p in (pattern, pattern.replace("g", ""))
    )
    for number, (token, (channels, kernel)) in enumerate(
        zip(pattern.split("+"), features, strict=True)
    ):
        shared = 9 * narrow**2 * small + narrow * w * small + 2 * w * (w // 16)
        first = c * narrow * large + c * w * small + shared
        other = w * narrow * small + w * w * small + shared
        blocks = first + (int(token[:-1]) - 1) * other
        expected = kernel**2 * channels * c * large + blocks + w * classes
        assert pooled.exits[number].branch_macs == expected
        assert flat.exits[number].branch_macs == expected + (small - 1) * w * classes


def test_block_costs_what_section_4_says() -> None:
    """13.7M per further block of ResNet-18's branches, the shortcut not counted."""
    two, three = (cost_of("resnet18", f"{level}+2+2", 1000, 224).exits[0] for level in (2, 3))
    shortcut = 512 * 512 * 7 * 7
    assert round((three.macs - two.macs - shortcut) / 1e6, 1) == 13.7


@pytest.mark.parametrize(
    ("backbone", "pattern", "classes", "size"),
    [("resnet56", "3+1", 100, 32), ("resnet18", "4+3+2", 10, 64), ("resnet20", "n+2", 10, 32)],
)
def test_path_cost_is_the_bracket_of_eq_5(
    backbone: str, pattern: str, classes: int, size: int
) -> None:
    cost = cost_of(backbone, pattern, classes, size)
    for number, exit_ in enumerate(cost.exits):
        branches_before = sum(before.macs - before.backbone_macs for before in cost.exits[:number])
        assert exit_.path_macs == exit_.macs + branches_before
    assert cost.total_macs == cost.exits[-1].path_macs
    assert cost.baseline_macs == cost.exits[-1].macs
    stages = [stage.macs for stage in cost.stages]
    backbone_macs = [sum(stages[: number + 1]) for number in range(len(cost.exits))]
    assert [exit_.backbone_macs for exit_ in cost.exits] == backbone_macs


def test_plain_backbone_costs_as_much_as_with_branches() -> None:
    plain, branched = (cost_of("resnet20", pattern, 10, 32) for pattern in ("none", "3+1"))
    assert plain.baseline_macs == plain.total_macs == branched.baseline_macs
    assert [exit_.name for exit_ in plain.exits] == [FINAL]
    assert plain.exits[0].branch_macs == 64 * 10


@pytest.mark.parametrize(
    ("backbone", "pattern", "size"), [("resnet20", "3+n", 33), ("resnet18", "2+n+1", 64)]
)
def test_total_equals_a_count_by_hooks(backbone: str, pattern: str, size: int) -> None:
    net = MultiExitNet(make_spec(backbone, pattern, 10, (3, size, size))).eval()
    counted = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            counted.append(output.numel() * module.weight[0].numel())
        elif isinstance(module, nn.Linear):
            counted.append(output.numel() * module.in_features)

    for module in net.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 3, size, size))
    by_hooks = sum(counted)
    assert network_cost(net).total_macs == by_hooks


def test_counting_leaves_the_network_as_it_was() -> None:
    net = MultiExitNet(make_spec("resnet20", "3+1", 10)).train()
    net.backbone.stages["stage1"].eval()  # frozen, while the rest trains
    modes = [module.training for module in net.modules()]
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    network_cost(net)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(tensor, weights[name]) for name, tensor in net.state_dict().items())
    net.eval()
    network_cost(net)
    assert not any(module.training for module in net.modules())


def test_counting_needs_neither_weights_nor_their_memory() -> None:
    spec = make_spec("resnet20", "3+1", 10)
    with torch.device("meta"):
        net = MultiExitNet(spec)
    assert network_cost(net) == network_cost(MultiExitNet(spec))
