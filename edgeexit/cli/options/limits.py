"""Options for limits on thresholds, shared by several commands."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeexit.cli.options import typed
from edgeexit.cli.options.fields import option
from edgeexit.formats import format_cost

if TYPE_CHECKING:
    from edgeexit.thresholds import Limits


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """Limits on thresholds."""

    min_accuracy: float | None = option(
        "Lowest average cost with at least this accuracy, such as 0.95.", type=typed.fraction
    )
    max_drop: float | None = option(
        "Lowest average cost with an accuracy at most this far below the backbone alone.",
        type=typed.fraction,
    )
    max_cost: float | None = option(
        "Highest accuracy within this average cost, such as 91.5M; with an accuracy, both "
        "limits hold.",
        type=typed.cost,
    )
    max_path_cost: float | None = option(
        "In addition, limit the cost of every single image; exits are switched off for it.",
        type=typed.cost,
    )

    @property
    def limits(self) -> Limits:
        """The limits that were typed."""
        from edgeexit.thresholds import Limits

        return Limits(**{name: getattr(self, name) for name in LIMITS})


LIMITS = tuple(field.name for field in dataclasses.fields(LimitOptions))


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
