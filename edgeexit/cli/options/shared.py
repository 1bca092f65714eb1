"""Options that several commands share, and what is made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from edgeexit.cli.options import typed

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from edgeexit.models.factories import Factory

DEFAULT_BUNDLE = "out"
"""Where ``export`` writes a bundle, and other commands look for one."""
LARGE_IMAGES = 64
LARGE_CLASSES, SMALL_CLASSES = 1000, 100
USUAL_CLASSES = (
    f"{LARGE_CLASSES}, and {SMALL_CLASSES} for images under {LARGE_IMAGES} pixels, as in the "
    "paper's tables"
)
Decorator = Callable[[Any], Any]
Values = TypeVar("Values", bound="DataclassInstance")


class SectionedCommand(click.Command):
    """A command whose ``--help`` lists its options under the titles of :func:`section`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            # arguments stand in the first line
            if isinstance(parameter, click.Option) and record is not None:
                rows.setdefault(getattr(parameter, "section", "Other"), []).append(record)
        for title, listed in rows.items():
            with formatter.section(title):
                formatter.write_dl(listed)


def option_group(*options: Decorator) -> Decorator:
    """Return a decorator that adds options to a command, which its help lists in this order."""

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def section(title: str, *options: Decorator) -> Decorator:
    """Return a decorator that adds options under a title of :class:`SectionedCommand`'s help."""
    group = option_group(*options)

    def add(command: Any) -> Any:
        before = len(getattr(command, "__click_params__", ()))
        command = group(command)
        for option in command.__click_params__[before:]:
            option.section = title
        return command

    return add


def taken(kind: type[Values], values: dict[str, Any]) -> Values:
    """Take one group's values, a dataclass, out of all that a command got."""
    return kind(**{field.name: values.pop(field.name) for field in dataclasses.fields(kind)})


def refuse(names: Container[str], why: str) -> None:
    """Refuse what was typed and would be left aside.

    Args:
        names: of parameters of the command that runs.
        why: what is said behind the option.

    Raises:
        click.UsageError: one of them was given.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        name = str(parameter.name)
        is_typed = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if is_typed and name in names:
            raise click.UsageError(f"{parameter.opts[0]} {why}")


def all_but(*names: str) -> set[str]:
    """Return the other parameters of the command that runs."""
    return click.get_current_context().params.keys() - names


def engine_dir_option(adds: str = "") -> Decorator:
    """Return ``--engine-dir`` of a command that takes a bundle and nothing else.

    Args:
        adds: what the command does to it, for the help.
    """
    return click.option(
        "--engine-dir",
        default=DEFAULT_BUNDLE,
        show_default=True,
        type=click.Path(path_type=Path),
        help=f"The bundle that 'edgeexit export' wrote{adds}.",
    )


# of networks that are not made of a registered backbone; the next two go with it
model_option = click.option(
    "--model",
    metavar="MODULE:FACTORY",
    help="A network of your own: package.module:factory, from a file here or installed. "
    "Checkpoints hold no code, so it is named every time.",
)
exits_option = click.option(
    "--exits",
    default="",
    metavar="auto|P1,P2,...",
    help="Modules of --model that exits are put behind; 'edgeexit inspect' lists them.  "
    "[default: auto]",
)
outputs_option = click.option(
    "--outputs",
    default="",
    metavar="auto|O1,O2,...",
    help="The exits that --model has of its own: their logits in what it returns, in order, "
    "the final exit last, such as 1,2,0 or exits.0,out; 'edgeexit inspect --outputs' lists "
    "them.",
)
resize_option = click.option(
    "--resize",
    type=click.IntRange(min=1),
    help="Of image files, as weights were trained with: pixels of the shorter side before the "
    "middle is cropped; those of the input size crop nothing of a square image.  [default: "
    "256/224 of these]",
)
max_pixels_option = click.option(
    "--max-pixels",
    type=typed.pixels,
    help="Larger image files are refused, before they are decoded.  [default: 128M]",
)
weights_options = option_group(  # of weights that something else wrote
    click.option(
        "--weights-key",
        default="",
        metavar="KEY",
        help="Which weights of a file that holds several: where they lie, such as state_dict_ema, "
        "or what their names begin with.  [default: state_dict, model, ...]",
    ),
    click.option(
        "--new-classifier",
        is_flag=True,
        help="Of weights for other classes: start the classifiers anew.",
    ),
)


def import_model(model: str | None) -> Factory | None:
    """Import what ``--model`` names, so that a mistake is told before anything else is done.

    Raises:
        SpecError: it cannot be imported.
    """
    if model is None:
        return None
    from edgeexit.models.factories import import_factory

    return import_factory(model)


def usual_classes(input_size: tuple[int, int, int]) -> int:
    """Return ImageNet's or CIFAR-100's number of classes, by what a backbone is meant for."""
    return LARGE_CLASSES if min(input_size[1:]) >= LARGE_IMAGES else SMALL_CLASSES
