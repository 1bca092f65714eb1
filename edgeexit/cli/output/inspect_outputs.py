"""``edgeexit inspect --outputs``: the outputs of a model, and its exits among them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from edgeexit.cli.inputs.untrained import created_model
from edgeexit.cli.terminal import print_json, print_table, say
from edgeexit.formats import Table, texts

if TYPE_CHECKING:
    from edgeexit.models.tracing.outputs import Output


def print_outputs(
    reference: str, input_size: tuple[int, int, int], num_classes: int | None, as_json: bool
) -> None:
    """Print every tensor that a model returns, and the options to type for its exits.

    Raises:
        SpecError: the model cannot be built, run without values, or traced.
    """
    from edgeexit.models.outputs import ordered_outputs
    from edgeexit.models.tracing.outputs import list_outputs

    if ":" not in reference:
        raise click.UsageError("--outputs goes with package.module:factory")
    model = created_model(reference, num_classes)
    outputs = list_outputs(model, input_size)
    widths = [output.shape[1] for output in outputs if output.is_logits]
    # exits have the same number of classes
    are_exits = len(widths) > 1 and len(set(widths)) == 1
    order = ordered_outputs(model, input_size) if are_exits else ()
    if as_json:
        print_json({"outputs": outputs, "proposed": list(order)})
        return
    print_table(_table(reference, outputs))
    say(_advice(reference, outputs, order))


def _table(reference: str, outputs: list[Output]) -> Table:
    return Table.of(
        f"{reference}: outputs for 2 images",
        texts("output", "shape", "type", "logits"),
        (
            (it.name, "x".join(map(str, it.shape)), it.dtype, "yes" if it.is_logits else "")
            for it in outputs
        ),
    )


def _advice(reference: str, outputs: list[Output], order: tuple[str, ...]) -> str:
    """Return the options to type for the exits."""
    model = f"--model {shlex.quote(reference)}"
    logits = [output.name for output in outputs if output.is_logits]
    if order:
        return f"probably: {model} --outputs {shlex.quote(','.join(order))} (the final exit last)"
    if len(logits) > 1:
        return "logits of different widths: name those of the exits with --outputs"
    return "no exits of its own: 'edgeexit inspect --points' lists where some can be put"
