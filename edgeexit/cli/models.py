"""``edgeexit models``: the registered backbones and branches."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from edgeexit.cli.inputs.untrained import USUAL_CLASSES, usual_classes
from edgeexit.cli.options.fields import flag, option, takes
from edgeexit.cli.options.shared import AT_LEAST_2
from edgeexit.cli.terminal import markdown, print_json, print_table, say
from edgeexit.formats import Table, format_macs, numbers, texts

if TYPE_CHECKING:
    from edgeexit.models.registry import BackboneEntry, BranchEntry


@dataclass(frozen=True, slots=True)
class BackboneInfo:
    """A registered backbone at its own input size, without branches.

    Attributes:
        exits: number of exits with a branch at every point, including ``final``.
        points: the stages that a branch can be put behind, in order.
        macs: multiply-accumulates per image.
        uncounted: operators that ``macs`` should include but does not, by name.
        pretrained: whether public weights can be loaded.
    """

    name: str
    input_size: tuple[int, int, int]
    num_classes: int
    exits: int
    points: tuple[str, ...]
    parameters: int
    macs: int
    uncounted: tuple[str, ...]
    pretrained: bool


@dataclass(frozen=True, slots=True)
class BranchInfo:
    """A registered kind of branch: an example token, its name, and a one-line summary."""

    token: str
    name: str
    summary: str


@dataclass(frozen=True, slots=True)
class ModelsOptions:
    """The form of the list."""

    num_classes: int | None = option(
        f"Classes to count with.  [default: {USUAL_CLASSES}]", type=AT_LEAST_2
    )
    as_json: bool = flag("Print JSON.", "--json")
    markdown: bool = flag("Print the tables of docs/reference/networks.md.")


@click.command("models")
@takes(ModelsOptions)
def command(options: ModelsOptions) -> None:
    """List the registered backbones and branches.

    Parameters and MACs are those of the backbone without branches.

    \b
    Example:
      edgeexit models --num-classes 10
    """
    if options.as_json and options.markdown:
        raise click.UsageError("expected at most one of --json and --markdown, got both")
    backbones, branches = backbone_infos(options.num_classes), branch_infos()
    tables = registry_tables(backbones, branches)
    if options.as_json:
        print_json({"backbones": backbones, "branches": branches})
    elif options.markdown:
        click.echo("\n\n".join(map(markdown, tables)))
    else:
        for table in tables:
            print_table(table)
        say(
            "parameters and multiply-accumulates (MACs) per image of the plain backbone, at this "
            "size and number of classes; a branching pattern joins one token per point: 3+1"
        )


def backbone_infos(num_classes: int | None = None) -> list[BackboneInfo]:
    """Return every registered backbone; nothing is computed, and no weights are allocated.

    Raises:
        SpecError: a backbone cannot be built or counted; the message names it.
    """
    from edgeexit.models import list_backbones
    from edgeexit.models.registry import backbone_entry

    return [_backbone_info(backbone_entry(name), num_classes) for name in list_backbones()]


def branch_infos() -> list[BranchInfo]:
    """Return every registered kind of branch."""
    from edgeexit.models import list_branches

    return [BranchInfo(entry.example, entry.name, _summary(entry)) for entry in list_branches()]


def _backbone_info(entry: BackboneEntry, num_classes: int | None) -> BackboneInfo:
    import torch

    from edgeexit.cost.operators import count_operators
    from edgeexit.errors import SpecError

    classes = num_classes or usual_classes(entry.input_size)
    meta = torch.device("meta")
    try:
        with meta:
            backbone = entry.build(classes, entry.input_size)
        counted = count_operators(backbone, [(1, *entry.input_size)], meta)
    except Exception as error:  # a user's own builder may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SpecError(
            f"backbone {entry.name!r} with {classes} classes and images of {entry.input_size} "
            f"cannot be built: {reason}; fix its builder, or remove its file"
        ) from error
    return BackboneInfo(
        name=entry.name,
        input_size=entry.input_size,
        num_classes=classes,
        exits=len(backbone.exit_stages) + 1,
        points=backbone.exit_stages,
        parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        macs=counted.macs,
        uncounted=counted.uncounted,
        pretrained=entry.load_pretrained is not None,
    )


def _summary(entry: BranchEntry) -> str:
    """Return a branch's first paragraph of documentation: its builder's, else the file's."""
    module = sys.modules.get(entry.build.__module__)  # None has a docstring from Python 3.13 on
    text = inspect.getdoc(entry.build) or (module and inspect.getdoc(module)) or ""
    return " ".join(text.partition("\n\n")[0].split())


def registry_tables(backbones: list[BackboneInfo], branches: list[BranchInfo]) -> list[Table]:
    """Return both as tables."""
    rows = [
        (
            info.name,
            "x".join(str(pixels) for pixels in info.input_size[1:]),
            str(info.num_classes),
            str(info.exits),
            ", ".join(info.points),
            f"{info.parameters / 1e6:.2f}M",
            format_macs(info.macs) + (" and more" if info.uncounted else ""),
            "yes" if info.pretrained else "-",
        )
        for info in backbones
    ]
    columns = (
        *texts("backbone", "pixels"),
        *numbers("classes", "exits"),
        *texts("branches behind"),
        *numbers("parameters", "MACs"),
        *texts("pretrained"),
    )
    kinds = [(info.token, info.name, info.summary) for info in branches]
    headings = texts("token", "branch", "what it is")
    return [Table.of("", columns, rows), Table.of("", headings, kinds)]
