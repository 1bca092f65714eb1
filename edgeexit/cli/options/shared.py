"""Options and helpers that several commands share."""

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
"""Default folder of a bundle, for ``export`` and the commands that read one."""
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
            # arguments are in the usage line
            if isinstance(parameter, click.Option) and record is not None:
                rows.setdefault(getattr(parameter, "section", "Other"), []).append(record)
        for title, listed in rows.items():
            with formatter.section(title):
                formatter.write_dl(listed)


def option_group(*options: Decorator) -> Decorator:
    """Return a decorator that adds options to a command; its help lists them in this order."""

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
    """Remove the values of one option group from ``values`` and return them as a dataclass."""
    return kind(**{field.name: values.pop(field.name) for field in dataclasses.fields(kind)})


def refuse(names: Container[str], why: str) -> None:
    """Refuse options that were typed but would be ignored.

    Args:
        names: parameters of the current command.
        why: the message after the option's name.

    Raises:
        click.UsageError: one of them was typed.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        name = str(parameter.name)
        is_typed = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if is_typed and name in names:
            raise click.UsageError(f"{parameter.opts[0]} {why}")


def all_but(*names: str) -> set[str]:
    """Return all other parameters of the current command."""
    return click.get_current_context().params.keys() - names


def engine_dir_option(adds: str = "") -> Decorator:
    """Return the option ``--engine-dir`` of a command that takes only a bundle.

    Args:
        adds: for the help, the command's effect on the bundle.
    """
    return click.option(
        "--engine-dir",
        default=DEFAULT_BUNDLE,
        show_default=True,
        type=click.Path(path_type=Path),
        help=f"The bundle that 'edgeexit export' wrote{adds}.",
    )


# for networks without a registered backbone; the next two options go with it
model_option = click.option(
    "--model",
    metavar="MODULE:FACTORY",
    help="A network of your own: package.module:factory, from a file here or installed. "
    "Checkpoints hold no code, so it must be given every time.",
)
exits_option = click.option(
    "--exits",
    default="",
    metavar="auto|P1,P2,...",
    help="Modules of --model to put exits behind; 'edgeexit inspect' lists them.  [default: auto]",
)
outputs_option = click.option(
    "--outputs",
    default="",
    metavar="auto|O1,O2,...",
    help="The exits that --model has of its own: the logits among its outputs, in order, "
    "the final exit last, such as 1,2,0 or exits.0,out; 'edgeexit inspect --outputs' lists "
    "them.",
)
resize_option = click.option(
    "--resize",
    type=click.IntRange(min=1),
    help="For image files, as in the training of the weights: pixels of the shorter side before "
    "the center crop; at the input size, nothing of a square image is cropped.  [default: "
    "256/224 of the input size]",
)
max_pixels_option = click.option(
    "--max-pixels",
    type=typed.pixels,
    help="Larger image files are refused before decoding.  [default: 128M]",
)
weights_options = option_group(  # for weights from other programs
    click.option(
        "--weights-key",
        default="",
        metavar="KEY",
        help="The weights in a file that holds several: their key, such as state_dict_ema, or a "
        "prefix of their names.  [default: state_dict, model, ...]",
    ),
    click.option(
        "--new-classifier",
        is_flag=True,
        help="For weights of other classes: reinitialize the classifiers.",
    ),
)


def import_model(model: str | None) -> Factory | None:
    """Import the factory of ``--model``, so that errors are reported before any other work.

    Raises:
        SpecError: it cannot be imported.
    """
    if model is None:
        return None
    from edgeexit.models.factories import import_factory

    return import_factory(model)


def usual_classes(input_size: tuple[int, int, int]) -> int:
    """Return ImageNet's or CIFAR-100's number of classes, by a backbone's input size."""
    return LARGE_CLASSES if min(input_size[1:]) >= LARGE_IMAGES else SMALL_CLASSES
