"""The picture of exit paths, measured against Eq. 5, for the page or as a separate file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from edgeexit.bench.render.page.drawing import (
    INK,
    MUTED,
    PAPER,
    name_rows,
    new_figure,
    note,
    page_style,
    to_svg,
)
from edgeexit.bench.render.setup import device_text
from edgeexit.bench.results.mixture import BASELINE_NAME, EARLY_EXIT_NAME
from edgeexit.bench.results.report import BenchReport
from edgeexit.drawing.saving import save_picture
from edgeexit.drawing.style import BLUE, GREEN
from edgeexit.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
FRAME, ROW = 0.6, 0.42  # inches
MARGIN = 0.8  # rows; the name of the plain backbone stands in it
MEASURED = "time over the plain backbone's: ● measured, | Eq. 5; left of 1 is faster"


def check_plot_path(path: str | Path) -> None:
    """Raise :class:`InputError` if the suffix of ``path`` is not that of a supported picture."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: expected a picture's name that ends in {', '.join(SUFFIXES)}")


@page_style()
def plot_reports(reports: Sequence[BenchReport], path: str | Path) -> None:
    """Write the picture of one report or more, a frame for each, on one scale.

    Raises:
        InputError: the suffix of ``path`` is not that of PNG, PDF or SVG.
        ValueError: there are no reports.
        WriteError: the file cannot be written.
    """
    check_plot_path(path)
    save_picture(draw_reports(reports), Path(path))


def draw_reports(reports: Sequence[BenchReport]) -> Figure:
    """Return the picture of one or more reports, drawn in the current style."""
    figure = _figure(reports)
    for axes, report in zip(figure.axes, reports, strict=True):
        axes.set_title(report.bundle.label, loc="left", fontweight="bold")
    devices = dict.fromkeys(device_text(report.device) for report in reports)
    figure.suptitle("\n".join(devices), fontsize=9)
    return figure


def paths_picture(report: BenchReport) -> Markup:
    """Return each path's measured ratio to the plain backbone beside Eq. 5's."""
    shown = "; ".join(
        f"{name}: measured {measured:.2f}, Eq. 5 {analytic:.2f}"
        for name, analytic, measured in _rows(report)
    )
    return to_svg(_figure([report]), "paths", f"Measured ratios against Eq. 5. {shown}")


def _rows(report: BenchReport) -> list[tuple[str, float, float]]:
    """Return name, Eq. 5's ratio and the measured ratio of every path and of early exit."""
    rows = [(path.name, path.macs_ratio, path.ratio) for path in report.paths]
    mixture = report.mixture
    if mixture is not None:
        rows.append((EARLY_EXIT_NAME, mixture.macs_ratio, mixture.early_exit.ratio.value))
    return rows


def _figure(reports: Sequence[BenchReport]) -> Figure:
    if not reports:
        raise ValueError("expected one report or more, got none")
    tables = [_rows(report) for report in reports]
    heights = [FRAME + ROW * len(rows) for rows in tables]
    figure, axes = new_figure(
        0.5 + sum(heights), len(tables), sharex=True, squeeze=False, height_ratios=heights
    )
    for frame, rows in zip(axes[:, 0], tables, strict=True):
        _draw(frame, rows)
    longest = max(max(row[1:]) for rows in tables for row in rows)
    axes[-1, 0].set(xlim=(0, 1.35 * max(1.0, longest)), xlabel=MEASURED)
    return figure


def _draw(axes: Axes, rows: Sequence[tuple[str, float, float]]) -> None:
    for row, (name, analytic, measured) in enumerate(rows):
        color = GREEN if name == EARLY_EXIT_NAME else BLUE
        axes.plot([analytic, measured], [row, row], color=MUTED, linewidth=1.5, zorder=1)
        axes.plot(analytic, row, "|", color=INK, markersize=15, markeredgewidth=2.5)
        axes.plot(measured, row, "o", color=color, markersize=9)
        note(
            axes,
            f"{measured:.2f}, Eq. 5 {analytic:.2f}",
            (max(analytic, measured), row),
            (9, 0),
            verticalalignment="center",
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},  # over the lines behind it
        )
    axes.axvline(1, color=MUTED, linestyle="--", linewidth=1.2, zorder=0)
    name_rows(axes, [name for name, _, _ in rows], MARGIN)
    note(axes, BASELINE_NAME, (1, -MARGIN), (4, -3), color=MUTED, verticalalignment="top")
