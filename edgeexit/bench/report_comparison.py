"""Two benchmarks side by side: two devices, precisions or versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeexit.bench.compared_figures import (
    TO_PLAIN,
    ComparedFigure,
    energy_figures,
    mixture_figures,
    path_figures,
    scenario_figures,
)
from edgeexit.bench.report import BenchReport
from edgeexit.bench.setups import (
    SetupDifference,
    check_comparable,
    comparison_warnings,
    setup_differences,
)

__all__ = ["ReportComparison", "compare_reports", "comparison_verdict"]


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


def comparison_verdict(comparison: ReportComparison) -> str:
    """Say what differs by more than the noise, or that nothing does."""
    known = [figure for figure in comparison.figures if figure.differs is not None]
    if not known:
        return "No difference can be told: the reports hold too few raw times for intervals."
    beyond = [figure for figure in known if figure.differs]
    if not beyond:
        return (
            f"No difference is larger than the noise ({_noise_range(known)}): {comparison.second} "
            f"is neither faster nor slower than {comparison.first} as far as these runs can tell."
        )
    said = "; ".join(_in_words(figure) for figure in beyond)
    rest = len(known) - len(beyond)
    others = f" The other {rest} figures differ by no more than the noise." if rest else ""
    same = (
        ""
        if comparison.differences
        else (
            " The set-ups are the same in all that the reports hold: what differs is the state of "
            "the device, or something that they do not hold; run both again."
        )
    )
    return f"{comparison.second} against {comparison.first}: {said}.{others}{same}"


def _noise_range(figures: Sequence[ComparedFigure]) -> str:
    low, high = (f(figure.noise for figure in figures) for f in (min, max))
    return f"{low:.0%}" if f"{low:.0%}" == f"{high:.0%}" else f"{low:.0%} to {high:.0%}"


def _in_words(figure: ComparedFigure) -> str:
    better, worse = {
        "ms": ("faster", "slower"),
        "samples/s": ("faster", "slower"),
        "mJ": ("takes less energy", "takes more energy"),
        TO_PLAIN: ("gains more over the plain backbone", "gains less over the plain backbone"),
    }[figure.unit]
    return (
        f"{figure.name} ({figure.section}, {figure.statistic}) "
        f"{'is ' if figure.unit in ('ms', 'samples/s') else ''}"
        f"{better if figure.second_is_better else worse}, {figure.interval:.3f} times"
    )
