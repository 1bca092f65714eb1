"""Options for limits on thresholds, shared by several commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.options import typed
from edgeexit.cli.options.shared import option_group
from edgeexit.formats import format_cost

if TYPE_CHECKING:
    from edgeexit.thresholds import Limits

LIMITS = ("min_accuracy", "max_drop", "max_cost", "max_path_cost")


limit_options = option_group(
    click.option(
        "--min-accuracy",
        type=typed.fraction,
        help="Lowest average cost with at least this accuracy, such as 0.95.",
    ),
    click.option(
        "--max-drop",
        type=typed.fraction,
        help="Lowest average cost with an accuracy at most this far below the backbone alone.",
    ),
    click.option(
        "--max-cost",
        type=typed.cost,
        help="Highest accuracy within this average cost, such as 91.5M; with an accuracy, both "
        "limits hold.",
    ),
    click.option(
        "--max-path-cost",
        type=typed.cost,
        help="In addition, limit the cost of every single image; exits are switched off for it.",
    ),
)


def given_limits(options: dict[str, Any]) -> Limits:
    """Remove the limits from a command's options and return them."""
    from edgeexit.thresholds import Limits

    return Limits(**{name: options.pop(name) for name in LIMITS})


def describe_limits(limits: Limits, unit: str) -> str:
    """Return a phrase for the settings that the limits choose."""
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
