"""``edgeexit flops``: what each exit of a network costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.common import console, format_macs, print_json

if TYPE_CHECKING:
    from edgeexit.cost import NetworkCost
    from edgeexit.models.spec import ModelSpec


@click.command("flops")
@click.argument("backbone")
@click.option("--branches", default="none", show_default=True, help="Pattern, such as 4+3+2.")
@click.option("--num-classes", default=1000, show_default=True, type=click.IntRange(min=2))
@click.option(
    "--input-size",
    type=click.IntRange(min=1),
    help="Height and width in pixels.  [default: what the backbone is meant for]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    backbone: str, branches: str, num_classes: int, input_size: int | None, as_json: bool
) -> None:
    """Print what each exit of a network costs, in multiply-accumulates per image.

    The paper's "FLOPs" are multiply-accumulates (MACs) of convolutions and fully connected layers.

    \b
    Example, a row of the paper's Table III:
      edgeexit flops resnet56 --branches 3+1 --num-classes 100 --input-size 32
    """
    import torch

    from edgeexit.cost import network_cost
    from edgeexit.models import MultiExitNet, make_spec

    size = None if input_size is None else (3, input_size, input_size)
    spec = make_spec(backbone, branches, num_classes, size)
    with torch.device("meta"):  # shapes are enough; the branches of ResNet-50 weigh 2 GB
        net = MultiExitNet(spec)
    cost = network_cost(net)
    if as_json:
        print_json(_as_json(spec, cost))
    else:
        _print_table(spec, cost)


def _as_json(spec: ModelSpec, cost: NetworkCost) -> dict[str, Any]:
    return {
        "backbone": spec.backbone,
        "branches": spec.pattern,
        "num_classes": spec.num_classes,
        "input_size": spec.input_size[1],
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
    }


def _print_table(spec: ModelSpec, cost: NetworkCost) -> None:
    from rich.table import Table

    table = Table(
        title=f"{spec.backbone}, branches {spec.pattern}, {spec.num_classes} classes, "
        f"{spec.input_size[1]}x{spec.input_size[2]} pixels"
    )
    table.add_column("exit")
    for heading in ("f_m", "backbone B_m", "branch", "path (Eq. 5)", "path / baseline"):
        table.add_column(heading, justify="right")
    for exit_ in cost.exits:
        counts = (exit_.macs, exit_.backbone_macs, exit_.branch_macs, exit_.path_macs)
        ratio = f"{exit_.path_macs / cost.baseline_macs:.3f}"
        table.add_row(exit_.name, *(format_macs(count) for count in counts), ratio)
    out = console()
    out.print(table)
    out.print(
        f"plain backbone {format_macs(cost.baseline_macs)}, with all branches "
        f"{format_macs(cost.total_macs)}; counted in multiply-accumulates (MACs), which the paper "
        "calls FLOPs"
    )
