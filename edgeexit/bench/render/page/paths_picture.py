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
    drawn,
    new_figure,
    tidy,
    to_svg,
)
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
MEASURED = "time over the plain backbone's: ● measured, | Eq. 5; left of 1 is faster"


def check_plot_path(path: str | Path) -> None:
    """Raise :class:`InputError` if the suffix of ``path`` is not that of a supported picture."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: expected a picture's name that ends in {', '.join(SUFFIXES)}")


@drawn
def plot_reports(reports: Sequence[BenchReport], path: str | Path) -> None:
    """Write the picture of one report or more, a frame for each, on one scale.

    Raises:
        InputError: the suffix of ``path`` is not that of PNG, PDF or SVG.
        ValueError: there are no reports.
        WriteError: the file cannot be written.
    """
    check_plot_path(path)
    save_picture(draw_reports(reports), Path(path))


@drawn
def draw_reports(reports: Sequence[BenchReport]) -> Figure:
    """Return the picture of one or more reports."""
    figure = _figure(reports)
    for axes, report in zip(figure.axes, reports, strict=True):
        axes.set_title(report.bundle.label, loc="left", fontweight="bold")
    figure.suptitle("\n".join(dict.fromkeys(map(_device_line, reports))), fontsize=9)
    return figure


@drawn
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
    axes[-1, 0].set_xlim(0, 1.35 * max(1.0, longest))
    axes[-1, 0].set_xlabel(MEASURED)
    return figure


def _draw(axes: Axes, rows: Sequence[tuple[str, float, float]]) -> None:
    for row, (name, analytic, measured) in enumerate(rows):
        color = GREEN if name == EARLY_EXIT_NAME else BLUE
        axes.plot([analytic, measured], [row, row], color=MUTED, linewidth=1.5, zorder=1)
        axes.plot(analytic, row, "|", color=INK, markersize=15, markeredgewidth=2.5)
        axes.plot(measured, row, "o", color=color, markersize=9)
        axes.annotate(
            f"{measured:.2f}, Eq. 5 {analytic:.2f}",
            (max(analytic, measured), row),
            (9, 0),
            textcoords="offset points",
            verticalalignment="center",
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},  # over the lines behind it
        )
    axes.axvline(1, color=MUTED, linestyle="--", linewidth=1.2, zorder=0)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.8)
    axes.annotate(
        BASELINE_NAME,
        (1, -0.8),
        (4, -3),
        textcoords="offset points",
        color=MUTED,
        verticalalignment="top",
    )
    tidy(axes, "x")


def _device_line(report: BenchReport) -> str:
    device = report.device
    threads = "" if device.threads is None else f", threads per graph: {device.threads}"
    return f"{device.cpu}, {device.backend_device}{threads}"
