"""``edgeexit inspect``: describes a network or a file, and lists places for exits."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from edgeexit_runtime.bundle.manifest import IMAGES

from edgeexit.cli.inputs.untrained import (
    DEFAULT_PIXELS,
    LARGE_CLASSES,
    USUAL_CLASSES,
    created_model,
    model_shape,
    registered_spec,
)
from edgeexit.cli.options import typed
from edgeexit.cli.options.fields import argument, flag, option, takes
from edgeexit.cli.options.shared import AT_LEAST_2, all_but, refuse
from edgeexit.cli.output.inspect_files import is_written, print_written
from edgeexit.cli.output.inspect_outputs import print_outputs
from edgeexit.cli.terminal import print_json, print_table, say
from edgeexit.formats import Table, format_macs, numbers, texts

if TYPE_CHECKING:
    from torch import nn

    from edgeexit.cost.operators import OperatorCount
    from edgeexit.models.backbone import Backbone
    from edgeexit.models.tracing.cuts.points import Point

MARK = "*"


@dataclass(frozen=True, slots=True)
class _Inspection:
    """A network and the places where it can be cut.

    Attributes:
        kind: the class of the model.
        num_classes: number of classes of its logits.
        macs: multiply-accumulates per image.
        uncounted: operators that ``macs`` should include but does not, by name.
        points: every place, in the order of execution.
        proposed: names of the points that are proposed for exits.
        registered: whether it is a registered backbone, whose exits have fixed places.
    """

    name: str
    kind: str
    parameters: int
    input_size: tuple[int, int, int]
    num_classes: int
    macs: int
    uncounted: tuple[str, ...]
    points: tuple[Point, ...]
    proposed: tuple[str, ...]
    registered: bool


@dataclass(frozen=True, slots=True)
class InspectOptions:
    """What is described, and how much of it."""

    reference: str | None = argument("MODEL", required=False)
    model: str | None = option("Another way to write MODEL.", metavar="MODULE:FACTORY")
    outputs: bool = flag("List its outputs, the exits.")
    points: bool = flag("List the places for exits.")
    every: bool = flag("With --points: also points where several tensors cross.", "--all")
    input_size: tuple[int, int] | None = option(
        f"Pixels: 224 or HEIGHTxWIDTH.  [default: {DEFAULT_PIXELS}; for a registered backbone "
        "its own size]",
        type=typed.size,
    )
    num_classes: int | None = option(
        "Classes to build it with, unless their number is fixed.  [default: "
        f"{LARGE_CLASSES}; for a registered backbone {USUAL_CLASSES}]",
        type=AT_LEAST_2,
    )
    as_json: bool = flag("Print everything as JSON.", "--json")

    @property
    def name(self) -> str:
        """What is described."""
        return str(self.model or self.reference)

    def check(self) -> None:
        """Raise :class:`click.UsageError` if options do not go together."""
        if (self.model is None) == (self.reference is None):
            got = f"both, {self.model!r} and {self.reference!r}" if self.model else "neither"
            raise click.UsageError(f"expected either MODEL or --model, got {got}")
        if self.points and self.outputs:
            raise click.UsageError("expected at most one of --points and --outputs, got both")
        if self.every and not self.points:
            raise click.UsageError("--all goes with --points")
        if is_written(self.name):
            refuse(
                all_but("reference", "model", "as_json"),
                f"does not go with {self.name}, a file of edgeexit, which is described "
                "completely: omit the options",
            )
        elif ":" not in self.name and any(mark in self.name for mark in "./"):
            raise click.UsageError(
                f"{self.name}: no such file or folder; expected the path of a checkpoint, a bundle "
                "or a single file, package.module:factory, or a backbone of 'edgeexit models'"
            )


@click.command("inspect")
@takes(InspectOptions)
def command(options: InspectOptions) -> None:
    """Describe MODEL and the places where exits can be put on it, or a file of edgeexit.

    MODEL is package.module:factory, from a file here or installed, a registered backbone, or the
    path of a checkpoint, a bundle, or a single file of 'edgeexit pack'. For a path, thresholds and
    their guarantee are shown. A point is the end of one of the model's modules. A branch reads the
    module's output; all other tensors that the rest of the model reads cross the cut, too, and a
    device keeps them in memory.

    \b
    Examples:
      edgeexit inspect torchvision.models:mobilenet_v3_small
      edgeexit inspect torchvision.models:densenet121 --points --input-size 64
      edgeexit inspect my_models:MSDNet --outputs --input-size 32
      edgeexit inspect run/ckpt.tuned.pt
      edgeexit inspect model.onnx
    """
    options.check()
    if is_written(options.name):
        print_written(Path(options.name), options.as_json)
        return
    if options.outputs:
        shape = model_shape(options.input_size)
        print_outputs(options.name, shape, options.num_classes, options.as_json)
        return
    inspection = _inspect_model(options) if ":" in options.name else _inspect_backbone(options)
    if options.as_json:
        print_json(inspection)
        return
    if options.points:
        _print_points(inspection, options.every)
    else:
        _print_summary(inspection)
    if inspection.uncounted:
        names = ", ".join(inspection.uncounted)
        say(f"not counted, so the true MACs are higher: {names}")
    say(_advice(inspection))


def _inspect_model(options: InspectOptions) -> _Inspection:
    from edgeexit.models.tracing.cuts.points import list_points, propose_points
    from edgeexit.models.tracing.trace import trace

    input_size = model_shape(options.input_size)
    model = created_model(options.name, options.num_classes)
    evaluation = trace(model, input_size).evaluation
    points = list_points(evaluation, input_size)
    counted = _count(model, [input_size])
    return _Inspection(
        name=options.name,
        kind=_kind(model),
        parameters=_parameters(model),
        input_size=input_size,
        num_classes=int(evaluation.values[evaluation.output][0].shape[1]),
        macs=counted.macs,
        uncounted=counted.uncounted,
        points=tuple(points),
        proposed=tuple(point.name for point in propose_points(points, input_size)),
        registered=False,
    )


def _inspect_backbone(options: InspectOptions) -> _Inspection:
    """Inspect a registered backbone, whose points are the ends of its stages."""
    import torch

    from edgeexit.models import MultiExitNet

    spec = registered_spec(options.name, "none", options.num_classes, options.input_size)
    with torch.device("meta"):  # shapes are enough
        net = MultiExitNet(spec)
    backbone = net.backbone
    shapes = {info.name: info.shape for info in net.features.values()}
    modules: list[tuple[nn.Module, tuple[str, ...]]] = [
        *((stage, stage.inputs) for _, stage in backbone.named_stages()),
        (backbone.classifier, tuple(backbone.classifier_inputs)),
    ]
    counts = [_count(module, [shapes[name] for name in inputs]) for module, inputs in modules]
    macs = [counted.macs for counted in counts]
    return _Inspection(
        name=options.name,
        kind=_kind(backbone),
        parameters=_parameters(backbone),
        input_size=spec.input_size,
        num_classes=spec.num_classes,
        macs=sum(macs),
        uncounted=tuple(sorted({name for counted in counts for name in counted.uncounted})),
        points=tuple(_stage_points(backbone, shapes, macs)),
        proposed=backbone.exit_stages,
        registered=True,
    )


def _stage_points(
    backbone: Backbone, shapes: dict[str, tuple[int, ...]], macs: list[int]
) -> Iterator[Point]:
    """Yield the end of every stage but the last."""
    from edgeexit.models.tracing.cuts.points import Point

    stages = backbone.named_stages()
    written = {IMAGES}
    for number, (name, stage) in enumerate(stages[:-1], start=1):
        written.update(stage.outputs)
        read = {source for _, later in stages[number:] for source in later.inputs}
        crossing = written & (read | set(backbone.classifier_inputs))
        yield Point(
            name=name,
            shape=shapes[stage.outputs[-1]],
            channels_last=False,
            macs_share=sum(macs[:number]) / sum(macs),
            crossing=len(crossing),
            crossing_bytes=sum(4 * math.prod(shapes[source]) for source in crossing),
        )


def _count(module: nn.Module, shapes: list[tuple[int, ...]]) -> OperatorCount:
    """Count a module's operators on one image, for inputs of these shapes."""
    import torch

    from edgeexit.cost.operators import count_operators

    device = next((weight.device for weight in module.parameters()), torch.device("meta"))
    return count_operators(module, [(1, *shape) for shape in shapes], device)


def _kind(model: nn.Module) -> str:
    return f"{type(model).__module__}.{type(model).__qualname__}"


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _print_summary(inspection: _Inspection) -> None:
    single = [point for point in inspection.points if point.crossing == 1]
    more = " and more" if inspection.uncounted else ""
    rows = {
        "class": inspection.kind,
        "parameters": f"{inspection.parameters:,}",
        "MACs": f"{format_macs(inspection.macs)}{more} per image",
        "input": "x".join(map(str, inspection.input_size)),
        "classes": str(inspection.num_classes),
        "points": f"{len(inspection.points)}, {len(single)} of them crossed by one tensor",
    }
    say(inspection.name)
    for name, value in rows.items():
        say(f"  {name:11}{value}")


def _print_points(inspection: _Inspection, every: bool) -> None:
    every |= inspection.registered
    shown = [point for point in inspection.points if every or point.crossing == 1]
    if shown:
        print_table(_points_table(inspection, shown))
    hidden = len(inspection.points) - len(shown)
    if hidden:
        say(f"{hidden} more points are crossed by several tensors: --all lists them")


def _points_table(inspection: _Inspection, points: list[Point]) -> Table:
    size = "x".join(map(str, inspection.input_size))
    return Table.of(
        f"{inspection.name}, input {size}, {inspection.num_classes} classes",
        (*texts("", "point", "shape", "layout"), *numbers("MACs", "crossing", "KB")),
        (
            (
                MARK if point.name in inspection.proposed else "",
                point.name,
                "x".join(map(str, point.shape)),
                _layout(point),
                f"{point.macs_share:.1%}",
                str(point.crossing),
                f"{point.crossing_bytes / 1024:.1f}",
            )
            for point in points
        ),
        notes=[
            "MACs: share up to the point; crossing: tensors and KB per image in FP32 that the "
            f"rest reads; {MARK} proposed"
        ],
    )


def _layout(point: Point) -> str:
    if len(point.shape) == 2:
        return "tokens, channels"
    return "channels last" if point.channels_last else "channels first"


def _advice(inspection: _Inspection) -> str:
    """Return the options to type for the proposed exits."""
    from edgeexit.models.multi_exit import example_pattern

    count = len(inspection.proposed)
    if inspection.registered:
        where = ", ".join(inspection.proposed)
        return (
            f"its {count} branches have fixed places, behind {where}: "
            f"--backbone {inspection.name} --branches {example_pattern(count)}"
        )
    if not inspection.points:
        return "it has no place for exits: none of its modules returns a feature map or tokens"
    if not count:
        return "no exits are proposed: choose from the points that --points lists"
    return (
        f"proposed: --model {shlex.quote(inspection.name)} --exits "
        f"{shlex.quote(','.join(inspection.proposed))} --branches "
        f"{'+'.join('n' * count)}"
    )
