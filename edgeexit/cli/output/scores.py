"""Output of ``edgeexit tune --score all``: scores side by side, as a table or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeexit.cli.terminal import print_json, print_table, say
from edgeexit.formats import Table, format_command, named_numbers

if TYPE_CHECKING:
    from pathlib import Path

    from edgeexit.statistics import Interval
    from edgeexit.thresholds.score_areas import ScoreArea


def print_areas(path: Path, title: str, unit: str, areas: list[ScoreArea], as_json: bool) -> None:
    """Print which score has the larger area, or that none has."""
    if as_json:
        found: dict[str, Any] = {area.score: area for area in areas}
        print_json({"checkpoint": str(path), "unit": unit, "scores": found})
        return
    rows = []
    for area in areas:
        others = ("", "")
        if area is not areas[0]:
            others = (_percent(area.over_softmax, "+.2f"), f"{area.average_cost:.3f}")
        rows.append((area.score, _percent(area.area, ".2f"), *others))
    table = Table.of(
        f"{title}: accuracy on test, the mean over all budgets of {unit}",
        named_numbers(
            *("score", "accuracy, %", "over softmax, points", "average cost over softmax's")
        ),
        rows,
    )
    print_table(table)
    say(verdict(areas))
    say(f"next: {format_command('tune', path, '--max-drop', '0.01')}")


def _percent(found: Interval, spec: str) -> str:
    value, low, high = (format(100 * share, spec) for share in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def verdict(areas: list[ScoreArea]) -> str:
    """Return which scores differ significantly from the first."""
    words = []
    for area in areas[1:]:
        if area.over_softmax.is_above(0):
            words.append(f"{area.score} is better than {areas[0].score}")
        elif area.over_softmax.is_below(0):
            words.append(f"{area.score} is worse than {areas[0].score}")
    return "; ".join(words) or f"none differs significantly from {areas[0].score}"
