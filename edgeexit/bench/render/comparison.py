"""Comparison of two reports: the table of figures, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from edgeexit.bench.results.comparison import (
    MIXTURE,
    PATHS,
    TO_BASELINE,
    ComparedFigure,
    ReportComparison,
)
from edgeexit.bench.results.mixture import EARLY_EXIT_NAME, ONE_BY_ONE
from edgeexit.formats import Row, Table, numbers, texts
from edgeexit.statistics import CONFIDENCE_LEVEL

LISTED = 3  # differences listed one by one; early exit and runs of images come first


def differences_text(comparison: ReportComparison) -> list[str]:
    """Return the differences between the set-ups, one line each."""
    if not comparison.differences:
        return ["The reports record the same set-up."]
    return [f"differs: {it.what}: {it.first} -> {it.second}" for it in comparison.differences]


def figures_table(comparison: ReportComparison, *, ratios: bool) -> Table:
    """Return the figures of both reports, section by section.

    Args:
        ratios: whether to include ratios to the plain backbone.
    """
    shown = [figure for figure in comparison.figures if ratios or figure.unit != TO_BASELINE]
    sections = groupby(shown, key=lambda figure: figure.section)
    return Table.of(
        f"{comparison.second} over {comparison.first}",
        (
            *texts("", "figure"),
            *numbers("first", "second", "ratio", f"{CONFIDENCE_LEVEL:.0%} interval", "noise"),
            *texts("beyond it"),
        ),
        *(_section(title, figures) for title, figures in sections),
        notes=[
            "a difference counts if the whole interval is farther from 1 than the noise: the drift "
            "and hold-ups of the plain backbone, and of the path itself, within either run, at "
            "least 2%"
        ],
    )


def _section(title: str, figures: Iterable[ComparedFigure]) -> list[Row]:
    return [(_section_name(title), *[""] * 7), *map(_row, figures)]


def _section_name(section: str) -> str:
    return ONE_BY_ONE if section == MIXTURE else section


def _row(figure: ComparedFigure) -> Row:
    interval = "-"
    if figure.interval is not None:
        interval = f"{figure.interval.low:.3f}..{figure.interval.high:.3f}"
    beyond = "not known"
    if figure.differs is not None:
        beyond = ("better" if figure.second_is_better else "worse") if figure.differs else "no"
    return (
        f"  {figure.name}",
        TO_BASELINE if figure.unit == TO_BASELINE else f"{figure.statistic}, {figure.unit}",
        f"{figure.first:.4g}",
        f"{figure.second:.4g}",
        f"{figure.ratio:.3f}",
        interval,
        f"{figure.noise:.0%}",
        beyond,
    )


def comparison_verdict(comparison: ReportComparison) -> str:
    """Return what differs by more than the noise, or that nothing does."""
    known = [figure for figure in comparison.figures if figure.differs is not None]
    if not known:
        return "No difference can be determined: the reports hold too few raw times for intervals."
    beyond = [figure for figure in known if figure.differs]
    unknown = len(comparison.figures) - len(known)
    not_judged = f" Without an interval, and not judged: {unknown} figures." if unknown else ""
    if not beyond:
        most = max(figure.noise for figure in known)
        return (
            f"No difference is larger than the noise (up to {most:.0%}): {comparison.second} is "
            f"neither faster nor slower than {comparison.first} as far as these runs can tell."
            f"{not_judged}"
        )
    beyond.sort(key=lambda figure: (figure.name != EARLY_EXIT_NAME, figure.section == PATHS))
    said = "; ".join(_difference_text(figure) for figure in beyond[:LISTED])
    lines = [f"{comparison.second} against {comparison.first}: {said}."]
    if others := beyond[LISTED:]:
        better = sum(figure.second_is_better for figure in others)
        lines.append(
            f"Of {len(others)} more, {better} are better and {len(others) - better} worse."
        )
    if rest := len(known) - len(beyond):
        lines.append(f"The other {rest} figures differ by no more than the noise.")
    if not comparison.differences:
        lines.append(
            "The reports record the same set-up: the state of the device differs, or something "
            "that they do not record; run both again."
        )
    return " ".join(lines) + not_judged


def _difference_text(figure: ComparedFigure) -> str:
    better, worse = {
        "ms": ("faster", "slower"),
        "samples/s": ("faster", "slower"),
        "mJ": ("takes less energy", "takes more energy"),
        TO_BASELINE: (
            "takes less of the plain backbone's time",
            "takes more of the plain backbone's time",
        ),
    }[figure.unit]
    return (
        f"{figure.name} ({_section_name(figure.section)}, {figure.statistic}) "
        f"{'is ' if figure.unit in ('ms', 'samples/s') else ''}"
        f"{better if figure.second_is_better else worse}, {figure.interval:.3f} times"
    )
