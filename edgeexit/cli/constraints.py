"""The one constraint that thresholds are chosen under: options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeexit.cli.common import MACS, format_macs

if TYPE_CHECKING:
    from edgeexit.evaluation import SearchResult, Setting

__all__ = ["constraint_options", "describe_constraint", "only_constraint", "select_setting"]

Command = TypeVar("Command", bound=Callable[..., Any])

CONSTRAINTS = {
    "min_accuracy": "lowest average cost with an accuracy of at least {:.4g}",
    "max_drop": "lowest average cost with at most {:.4g} less accuracy than the backbone alone",
    "max_macs": "highest accuracy with an average cost of at most {}",
}


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


def constraint_options(command: Command) -> Command:
    """Add ``--min-accuracy``, ``--max-drop`` and ``--max-macs``."""
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
            "--max-macs",
            type=MACS,
            help="Highest accuracy within this average cost, such as 91.5M.",
        ),
    )
    for option in reversed(options):  # the first is to stand first in the help
        command = option(command)
    return command


def only_constraint(limits: Mapping[str, float | None]) -> tuple[str, float]:
    """Return the name and the value of the one constraint that is given.

    Raises:
        click.UsageError: there is none, or more than one.
    """
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if len(given) != 1:
        known = [f"--{name.replace('_', '-')}" for name in limits]
        got = " and ".join(f"--{name.replace('_', '-')}" for name in given) or "none"
        raise click.UsageError(f"expected exactly one of {', '.join(known)}, got {got}")
    return next(iter(given.items()))


def select_setting(result: SearchResult, constraint: str, limit: float) -> Setting:
    """Return the best setting under a constraint.

    Raises:
        TuningError: no setting meets it.
    """
    from edgeexit import evaluation

    select = {
        "min_accuracy": evaluation.cheapest_with_accuracy,
        "max_drop": evaluation.cheapest_within_drop,
        "max_macs": evaluation.most_accurate_within_macs,
    }
    return select[constraint](result, limit)


def describe_constraint(constraint: str, limit: float) -> str:
    """Return what is chosen, in a phrase."""
    value = format_macs(limit) if constraint == "max_macs" else limit
    return CONSTRAINTS[constraint].format(value)
