"""What thresholds have to keep to: options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeexit.cli.common import COST, add_options
from edgeexit.formats import format_cost

if TYPE_CHECKING:
    from edgeexit.thresholds import Limits

Command = TypeVar("Command", bound=Callable[..., Any])

LIMITS = ("min_accuracy", "max_drop", "max_cost", "max_path_cost")


class FractionType(click.ParamType[float]):
    """A share or accuracy from 0 to 1."""

    name = "fraction"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            fraction = float(value)
        except ValueError:
            fraction = -1.0
        if 1 < fraction <= 100:
            self.fail(
                f"expected a fraction from 0 to 1: {fraction / 100:g}, not {value}", param, ctx
            )
        if not 0 <= fraction <= 1:
            self.fail(f"expected a fraction from 0 to 1 such as 0.95, got {value!r}", param, ctx)
        return fraction


def limit_options(command: Command) -> Command:
    """Add ``--min-accuracy``, ``--max-drop``, ``--max-cost`` and ``--max-path-cost``."""
    options = (
        click.option(
            "--min-accuracy",
            type=FractionType(),
            help="Lowest average cost with at least this accuracy, such as 0.95.",
        ),
        click.option(
            "--max-drop",
            type=FractionType(),
            help="Lowest average cost with at most this much less accuracy than the backbone "
            "alone.",
        ),
        click.option(
            "--max-cost",
            type=COST,
            help="Highest accuracy within this average cost, such as 91.5M; with an accuracy, "
            "both are kept to.",
        ),
        click.option(
            "--max-path-cost",
            type=COST,
            help="Besides, no image may ever pay more than this: exits are switched off for it.",
        ),
    )
    return add_options(command, *options)


def given_limits(options: dict[str, Any]) -> Limits:
    """Take the limits out of a command's options."""
    from edgeexit.thresholds import Limits

    return Limits(**{name: options.pop(name) for name in LIMITS})


def describe_limits(limits: Limits, unit: str) -> str:
    """Return what is chosen, in a phrase."""
    kept = []
    if limits.min_accuracy is not None:
        kept.append(f"an accuracy of at least {limits.min_accuracy:.4g}")
    if limits.max_drop is not None:
        kept.append(f"at most {limits.max_drop:.4g} less accuracy than the backbone alone")
    if limits.max_cost is not None:
        kept.append(f"an average cost of at most {format_cost(limits.max_cost, unit)}")
    if limits.max_path_cost is not None:
        kept.append(f"no path above {format_cost(limits.max_path_cost, unit)}")
    best = "lowest average cost" if limits.asks_for_accuracy else "highest accuracy"
    return f"{best} with {' and '.join(kept)}"
