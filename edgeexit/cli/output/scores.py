"""``edgeexit tune --score all``: scores side by side, printed or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeexit.cli.common import console, print_json, shown_command

if TYPE_CHECKING:
    from pathlib import Path

    from edgeexit.thresholds.score_areas import ScoreArea


def print_areas(path: Path, title: str, unit: str, areas: list[ScoreArea], as_json: bool) -> None:
    """Print which score has the larger area, or that none has."""
    from edgeexit_runtime.bundle.schema import encode
    from rich.table import Table

    if as_json:
        found: dict[str, Any] = {area.score: encode(area) for area in areas}
        print_json({"checkpoint": str(path), "unit": unit, "scores": found})
        return
    table = Table(title=f"{title}: accuracy on test, the mean over all budgets of {unit}")
    table.add_column("score")
    for heading in ("accuracy, %", "over softmax, points", "average cost over softmax's"):
        table.add_column(heading, justify="right")
    for area in areas:
        others = ("", "")
        if area is not areas[0]:
            points = [100 * value for value in encode(area.over_softmax).values()]
            others = ("{:+.2f} [{:+.2f}, {:+.2f}]".format(*points), f"{area.average_cost:.3f}")
        accuracy = [100 * value for value in encode(area.area).values()]
        table.add_row(area.score, "{:.2f} [{:.2f}, {:.2f}]".format(*accuracy), *others)
    out = console()
    out.print(table)
    out.print(verdict(areas), soft_wrap=True)
    out.print(f"next: {shown_command('tune', path, '--max-drop', '0.01')}", soft_wrap=True)


def verdict(areas: list[ScoreArea]) -> str:
    """Say which scores are told apart from the first."""
    words = []
    for area in areas[1:]:
        if area.over_softmax.is_above(0):
            words.append(f"{area.score} is better than {areas[0].score}")
        elif area.over_softmax.is_below(0):
            words.append(f"{area.score} is worse than {areas[0].score}")
    return "; ".join(words) or f"none is told apart from {areas[0].score}"
