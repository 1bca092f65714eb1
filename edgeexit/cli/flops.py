"""``edgeexit flops``: the cost of each exit and each part of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cli.inputs.untrained import UntrainedOptions
from edgeexit.cli.options.fields import flag, option, takes
from edgeexit.cli.options.shared import outputs_option
from edgeexit.cli.terminal import print_json, print_table, say
from edgeexit.formats import Table, format_command, format_macs, named_numbers

if TYPE_CHECKING:
    from edgeexit.cost import NetworkCost, PartCost
    from edgeexit.models import MultiExitNet
    from edgeexit.models.spec import ModelSpec

MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class FlopsOptions(UntrainedOptions):
    """A network, and the form of the output."""

    outputs: str = outputs_option()
    branches: str = option("Pattern, such as 4+3+2.", default="none")
    as_json: bool = flag("Print JSON.", "--json")

    def network(self) -> MultiExitNet:
        """Return the network.

        Raises:
            click.UsageError: the options do not go together.
        """
        if (self.backbone is None) == (self.model is None) or (
            self.backbone is not None and (self.exits or self.outputs)
        ):
            raise click.UsageError(
                "expected either BACKBONE, or --model, optionally with --exits or --outputs"
            )
        if self.backbone is not None:
            return self._registered(self.backbone)
        if not self.outputs:
            return self.attached(self.branches)
        if self.exits or self.branches != "none":
            raise click.UsageError("--outputs has its own branches: no --exits, no --branches")
        return self.with_own_exits(self.outputs)

    def _registered(self, backbone: str) -> MultiExitNet:
        import torch

        from edgeexit.models import MultiExitNet

        if ":" in backbone:
            command = format_command("flops", "--model", backbone)
            raise click.UsageError(
                f"{backbone} is not a registered backbone, but a model: {command}"
            )
        spec = self.spec(self.branches)
        with torch.device("meta"):  # shapes are enough; the branches of ResNet-50 weigh 2 GB
            return MultiExitNet(spec)


@click.command("flops")
@takes(FlopsOptions)
def command(options: FlopsOptions) -> None:
    """Print the cost of each exit of a network, and MACs and memory traffic of each part.

    The paper's "FLOPs" are multiply-accumulates (MACs) of convolutions and fully connected layers.
    Bytes are in FP32 for one image: the weights of a part, and the activations that its operators
    read and write, without fusion.

    \b
    Examples, the first a row of the paper's Table III:
      edgeexit flops resnet56 --branches 3+1 --num-classes 100 --input-size 32
      edgeexit flops --model torchvision.models:densenet121 --branches n+n+n
    """
    print_costs(options.network(), options.as_json)


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
        "exits": [{"name": it.name, "macs": it.macs, **encode(it)} for it in cost.exits],
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
