"""``edgeexit flops``: the cost of each exit and each part of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.options import typed
from edgeexit.cli.options.shared import (
    LARGE_CLASSES,
    USUAL_CLASSES,
    exits_option,
    model_option,
    outputs_option,
    usual_classes,
)
from edgeexit.cli.terminal import print_json, print_table, say
from edgeexit.formats import Table, format_command, format_macs, named_numbers

if TYPE_CHECKING:
    from edgeexit.cost import NetworkCost, PartCost
    from edgeexit.models import MultiExitNet
    from edgeexit.models.spec import ModelSpec

MEGABYTE = 1e6
DEFAULT_PIXELS = 224


@click.command("flops")
@click.argument("backbone", required=False)
@model_option
@exits_option
@outputs_option
@click.option("--branches", default="none", show_default=True, help="Pattern, such as 4+3+2.")
@click.option(
    "--num-classes",
    type=click.IntRange(min=2),
    help=f"[default: {USUAL_CLASSES}; with --model {LARGE_CLASSES}, or the model's own number if "
    "it is fixed]",
)
@click.option(
    "--input-size",
    type=typed.size,
    help="Pixels: 224 or HEIGHTxWIDTH.  [default: the backbone's own size; "
    f"{DEFAULT_PIXELS} with --model]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    backbone: str | None,
    model: str | None,
    exits: str,
    outputs: str,
    branches: str,
    num_classes: int | None,
    input_size: tuple[int, int] | None,
    as_json: bool,
) -> None:
    """Print the cost of each exit of a network, and MACs and memory traffic of each part.

    The paper's "FLOPs" are multiply-accumulates (MACs) of convolutions and fully connected layers.
    Bytes are in FP32 for one image: the weights of a part, and the activations that its operators
    read and write, without fusion.

    \b
    Examples, the first a row of the paper's Table III:
      edgeexit flops resnet56 --branches 3+1 --num-classes 100 --input-size 32
      edgeexit flops --model torchvision.models:densenet121 --branches n+n+n
    """
    size = None if input_size is None else (3, *input_size)
    if model is not None and backbone is None and outputs:
        if exits or branches != "none":
            raise click.UsageError("--outputs has its own branches: no --exits, no --branches")
        net = _own_exits(model, outputs, num_classes, size)
    elif model is not None and backbone is None:
        net = _attached(model, exits or "auto", branches, num_classes, size)
    elif backbone is not None and model is None and not exits and not outputs:
        net = _registered(backbone, branches, num_classes, size)
    else:
        raise click.UsageError(
            "expected either BACKBONE, or --model, optionally with --exits or --outputs"
        )
    print_costs(net, as_json)


def _registered(
    backbone: str, branches: str, num_classes: int | None, size: tuple[int, int, int] | None
) -> MultiExitNet:
    import torch

    from edgeexit.models import MultiExitNet, make_spec
    from edgeexit.models.registry import backbone_entry

    if ":" in backbone:
        command = format_command("flops", "--model", backbone)
        raise click.UsageError(f"{backbone} is not a registered backbone, but a model: {command}")
    classes = num_classes or usual_classes(backbone_entry(backbone).input_size)
    spec = make_spec(backbone, branches, classes, size)
    with torch.device("meta"):  # shapes are enough; the branches of ResNet-50 weigh 2 GB
        return MultiExitNet(spec)


def _own_exits(
    model: str, outputs: str, num_classes: int | None, size: tuple[int, int, int] | None
) -> MultiExitNet:
    from edgeexit.models import from_outputs
    from edgeexit.models.factories import create_model

    return from_outputs(
        create_model(model, num_classes or LARGE_CLASSES),
        input_size=size or (3, DEFAULT_PIXELS, DEFAULT_PIXELS),
        outputs=outputs,
        num_classes=num_classes,
        name=model,
    )


def _attached(
    model: str,
    exits: str,
    branches: str,
    num_classes: int | None,
    size: tuple[int, int, int] | None,
) -> MultiExitNet:
    from edgeexit.models import attach_exits
    from edgeexit.models.factories import create_model

    return attach_exits(
        create_model(model, num_classes or LARGE_CLASSES),
        exits,
        branches=branches,
        input_size=size or (3, DEFAULT_PIXELS, DEFAULT_PIXELS),
        num_classes=num_classes,
        name=model,
    )


def print_costs(net: MultiExitNet, as_json: bool) -> None:
    """Print the costs of any network, as tables or as JSON."""
    from edgeexit.cost import network_cost

    cost = network_cost(net)
    if as_json:
        print_json(_as_json(net.spec, cost))
        return
    print_table(_exit_table(net.spec, cost))
    say(
        f"plain backbone {format_macs(cost.baseline_macs)}, with all branches "
        f"{format_macs(cost.total_macs)}; counted in multiply-accumulates (MACs), which the paper "
        "calls FLOPs"
    )
    print_table(_part_table(cost))
    say("bytes in FP32, for one image; activations as operators read and write them, unfused")
    if cost.uncounted:
        say(f"not counted, so the true MACs are higher: {', '.join(cost.uncounted)}")


def _as_json(spec: ModelSpec, cost: NetworkCost) -> dict[str, Any]:
    height, width = spec.input_size[1:]
    return {
        "backbone": spec.backbone,
        "branches": spec.pattern,
        "num_classes": spec.num_classes,
        "input_size": height if height == width else f"{height}x{width}",
        "baseline_macs": cost.baseline_macs,
        "total_macs": cost.total_macs,
        "exits": [
            {
                "name": exit_.name,
                "macs": exit_.macs,
                "backbone_macs": exit_.backbone_macs,
                "branch_macs": exit_.branch_macs,
                "path_macs": exit_.path_macs,
            }
            for exit_ in cost.exits
        ],
        "stages": cost.stages,
        "branch_parts": cost.branches,
        "uncounted": list(cost.uncounted),
    }


def _exit_table(spec: ModelSpec, cost: NetworkCost) -> Table:
    return Table.of(
        f"{spec.backbone}, branches {spec.pattern}, {spec.num_classes} classes, "
        f"{spec.input_size[1]}x{spec.input_size[2]} pixels",
        named_numbers(
            *("exit", "this exit alone", "backbone to here", "its branch", "path (Eq. 5)", "ratio")
        ),
        (
            (
                it.name,
                *map(format_macs, (it.macs, it.backbone_macs, it.branch_macs, it.path_macs)),
                f"{it.path_macs / cost.baseline_macs:.3f}",
            )
            for it in cost.exits
        ),
    )


def _part_table(cost: NetworkCost) -> Table:
    """Return one row per part in the order of execution, and their sum."""
    parts = [part for pair in zip(cost.stages, cost.branches, strict=True) for part in pair]
    return Table.of(
        "",
        named_numbers("part", "MACs", "share", "parameters", "weights MB", "activations MB"),
        ((part.name, *_cells([part], cost)) for part in parts),
        [("all", *_cells(parts, cost))],
    )


def _cells(parts: list[PartCost], cost: NetworkCost) -> list[str]:
    macs = sum(part.macs for part in parts)
    return [
        format_macs(macs),
        f"{macs / cost.total_macs:.1%}",
        f"{sum(part.parameters for part in parts):,}",
        f"{sum(part.weight_bytes for part in parts) / MEGABYTE:.3f}",
        f"{sum(part.activation_bytes for part in parts) / MEGABYTE:.3f}",
    ]
