"""Options and helpers that several commands share."""

from __future__ import annotations

from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from edgeexit_runtime.backends import AUTO

from edgeexit.cli.options import typed
from edgeexit.cli.options.fields import PATH, flag, option

if TYPE_CHECKING:
    from edgeexit.models.factories import Factory

DEFAULT_BUNDLE = Path("out")
"""Default folder of a bundle, for ``export`` and the commands that read one."""
DEVICES = (AUTO, "cpu", "cuda")  # of checkpoints
AT_LEAST_1 = click.IntRange(min=1)
AT_LEAST_2 = click.IntRange(min=2)
AT_LEAST_0 = click.IntRange(min=0)
ABOVE_0 = click.FloatRange(min=0, min_open=True)


def engine_dir_option(adds: str = "") -> Any:
    """Declare ``--engine-dir`` of a command that takes only a bundle, with its effect on it."""
    text = f"The bundle that 'edgeexit export' wrote{adds}."
    return option(text, type=PATH, default=DEFAULT_BUNDLE)


def output_option(text: str, default: Path | None = None, **settings: Any) -> Any:
    """Declare ``-o``, the file or folder that a command writes."""
    return option(text, "-o", "--output", default=default, **settings)


# for networks without a registered backbone; the next two options go with it
model_option = partial(
    option,
    "A network of your own: package.module:factory, from a file here or installed. "
    "Checkpoints hold no code, so it must be given every time.",
    metavar="MODULE:FACTORY",
)
exits_option = partial(
    option,
    "Modules of --model to put exits behind; 'edgeexit inspect' lists them.  [default: auto]",
    default="",
    metavar="auto|P1,P2,...",
)
outputs_option = partial(
    option,
    "The exits that --model has of its own: the logits among its outputs, in order, "
    "the final exit last, such as 1,2,0 or exits.0,out; 'edgeexit inspect --outputs' lists "
    "them.",
    default="",
    metavar="auto|O1,O2,...",
)
resize_option = partial(
    option,
    "For image files, as in the training of the weights: pixels of the shorter side before "
    "the center crop; at the input size, nothing of a square image is cropped.  [default: "
    "256/224 of the input size]",
    type=AT_LEAST_1,
)
max_pixels_option = partial(
    option,
    "Larger image files are refused before decoding.  [default: 128M]",
    type=typed.pixels,
)
std_option = partial(option, "Likewise: standard deviation to divide them by.", type=typed.numbers)
data_dir_option = partial(option, "Folder of the data set's files.", type=PATH)
download_option = partial(flag, "Download the data set if it is missing.")
workers_option = partial(option, "Processes that load images.", default=0, type=AT_LEAST_0)
device_option = partial(option, None, default=AUTO, type=click.Choice(DEVICES))
# the next two are for weights from other programs
weights_key_option = partial(
    option,
    "The weights in a file that holds several: their key, such as state_dict_ema, or a "
    "prefix of their names.  [default: state_dict, model, ...]",
    default="",
    metavar="KEY",
)
new_classifier_option = partial(flag, "For weights of other classes: reinitialize the classifiers.")


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


def import_model(model: str | None) -> Factory | None:
    """Import the factory of ``--model``, so that errors are reported before any other work.

    Raises:
        SpecError: it cannot be imported.
    """
    if model is None:
        return None
    from edgeexit.models.factories import import_factory

    return import_factory(model)
