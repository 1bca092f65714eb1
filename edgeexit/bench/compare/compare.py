"""Two benchmarks side by side: two devices, precisions or versions."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.bench.compare.figures import (
    ComparedFigure,
    energy_figures,
    mixture_figures,
    path_figures,
    scenario_figures,
)
from edgeexit.bench.compare.setups import (
    SetupDifference,
    check_comparable,
    comparison_warnings,
    setup_differences,
)
from edgeexit.bench.results.report import BenchReport


@dataclass(frozen=True, slots=True)
class ReportComparison:
    """What two reports say of each other.

    Attributes:
        first, second: names of the reports.
        differences: between their set-ups, the most telling first.
        warnings: why the comparison may not mean what it seems to, one sentence each.
        left_out: what only one of them has, or cannot be compared, one sentence each.
        figures: that both have.
    """

    first: str
    second: str
    differences: tuple[SetupDifference, ...]
    warnings: tuple[str, ...]
    left_out: tuple[str, ...]
    figures: tuple[ComparedFigure, ...]


def compare_reports(
    first: BenchReport, second: BenchReport, names: tuple[str, str] = ("first", "second")
) -> ReportComparison:
    """Compare two reports.

    Args:
        first, second: what to compare; ratios are the second over the first.
        names: of the two, such as their files.

    Raises:
        InputError: the networks have different classes.
    """
    check_comparable(first, second)
    left_out: list[str] = []
    figures = [
        *path_figures(first, second, left_out),
        *mixture_figures(first, second, left_out),
        *scenario_figures(first, second, left_out),
        *energy_figures(first.energy, second.energy, left_out),
    ]
    return ReportComparison(
        first=names[0],
        second=names[1],
        differences=setup_differences(first, second),
        warnings=tuple(comparison_warnings(first, second)),
        left_out=tuple(left_out),
        figures=tuple(figures),
    )
