"""Pictures of measurements: exit paths, accuracy against time, latencies, throughput, energy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from edgeexit.bench.render.page.drawing import (
    INK,
    MUTED,
    PAPER,
    SERIES,
    legend_beside,
    log_axis,
    name_rows,
    new_figure,
    note,
    page_style,
    tidy,
    to_svg,
)
from edgeexit.bench.render.setup import device_text
from edgeexit.bench.results.energy import Energy
from edgeexit.bench.results.mixture import (
    BACKEND,
    BASELINE,
    BASELINE_NAME,
    EARLY_EXIT,
    EARLY_EXIT_NAME,
    EXIT_OFF,
    ISO_ACCURACY,
    VERSUS,
    Mixture,
)
from edgeexit.bench.results.report import BenchReport
from edgeexit.bench.results.scenarios import OfflineResult
from edgeexit.drawing.saving import save_picture
from edgeexit.drawing.style import BLUE, GREEN, ORANGE, SKY
from edgeexit.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
FRAME, ROW = 0.6, 0.42  # inches
MARGIN = 0.8  # rows; the name of the plain backbone stands in it
MEASURED = "time over the plain backbone's: ● measured, | Eq. 5; left of 1 is faster"
COLORS = {
    BASELINE: INK,
    EARLY_EXIT: BLUE,
    EXIT_OFF: GREEN,
    VERSUS: ORANGE,
    ISO_ACCURACY: ORANGE,
    BACKEND: BLUE,
}
MARKERS = {BASELINE: "s", EARLY_EXIT: "o"}  # other candidates get a marker each


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


def front_picture(mixture: Mixture) -> Markup | None:
    """Return accuracy against mean latency of all candidates; None without labels."""
    points = [(run, run.accuracy) for run in mixture.runs if run.accuracy is not None]
    if not points:
        return None
    figure, axes = new_figure(3.6)
    others = cycle("^vD<>ph")
    for run, accuracy in points:
        color = COLORS[run.role]
        axes.plot(
            run.latency.mean_ms,
            100 * accuracy,
            MARKERS.get(run.role) or next(others),
            color=color,
            markersize=9,
            markeredgewidth=1.8,
            markerfacecolor="none" if run.role == EXIT_OFF else color,
            label=run.label,
        )
    low, high = (end(accuracy for _, accuracy in points) for end in (min, max))
    room = max(0.002, 0.25 * (high - low))
    axes.set(
        xlim=(0, 1.25 * max(run.latency.mean_ms for run, _ in points)),
        ylim=(100 * (low - room), 100 * min(1.001, high + room)),
        xlabel="mean latency, ms per image",
        ylabel="accuracy, %",
    )
    tidy(axes)
    legend_beside(axes)
    shown = "; ".join(f"{it.label}: {it.latency.mean_ms:.3g} ms, {its:.1%}" for it, its in points)
    return to_svg(figure, "front", f"Accuracy against mean latency. {shown}")


def latency_picture(mixture: Mixture) -> Markup:
    """Return the cumulative distribution of latencies, by exit."""
    figure, axes = new_figure(3.4)
    baseline, early_exit = mixture.baseline, mixture.early_exit
    times_ms, left_at = np.array(early_exit.times_ms), np.array(mixture.left_at)
    lines = [
        (baseline.label, np.array(baseline.times_ms).ravel(), MUTED, "--", 2.4),
        (f"{early_exit.label}, all images", times_ms.ravel(), INK, "-", 2.4),
    ]
    for index, (exit_, color) in enumerate(zip(mixture.exits, cycle(SERIES), strict=False)):
        if exit_.latency is not None:
            name = f"left at {exit_.name} ({exit_.share:.1%})"
            lines.append((name, times_ms[:, left_at == index].ravel(), color, "-", 1.4))
    for name, values, color, style, width in lines:
        axes.ecdf(values, color=color, linestyle=style, linewidth=width, label=name)
    log_axis(axes, "x")
    axes.set(xlabel="latency, ms (logarithmic)", ylabel="share of images answered by then")
    axes.set_yticks((0, 0.25, 0.5, 0.75, 0.9, 0.99), ("0", "25%", "50%", "75%", "90%", "99%"))
    tidy(axes)
    legend_beside(axes)
    medians = "; ".join(f"{name}: median {np.median(values):.3g} ms" for name, values, *_ in lines)
    return to_svg(figure, "latency", f"Latency distributions. {medians}")


def offline_picture(results: tuple[OfflineResult, ...]) -> Markup:
    """Return images per second by batch size."""
    figure, axes = new_figure(3.0)
    sizes = sorted({rate.batch_size for result in results for rate in result.rates})
    for result, color, marker in zip(results, cycle(SERIES), cycle("osD^v<>"), strict=False):
        axes.plot(
            [rate.batch_size for rate in result.rates],
            [rate.samples_per_s for rate in result.rates],
            marker=marker,
            color=color,
            label=result.name,
        )
    if len(sizes) > 1:
        log_axis(axes, "x")
        axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set(xlabel="batch size", ylabel="images per second", ylim=(0, None))
    tidy(axes)
    legend_beside(axes)
    shown = "; ".join(f"{it.name}: best {it.best_samples_per_s:.4g}" for it in results)
    return to_svg(figure, "offline", f"Images per second by batch size. {shown}")


def energy_picture(energy: Energy) -> Markup:
    """Return millijoules per image, split into the idle device's in the same time and the rest."""
    items = energy.runs
    figure, axes = new_figure(1.0 + 0.42 * len(items))
    for row, item in enumerate(items):
        total, above = 1e3 * item.sample_j, 1e3 * item.above_idle_j
        axes.barh(row, total - above, height=0.6, color=SKY)
        axes.barh(row, above, left=total - above, height=0.6, color=BLUE)
        turns = f"turns {1e3 * item.sample_min_j:.3g} to {1e3 * item.sample_max_j:.3g}"
        note(axes, f"{total:.3g}, {turns}", (total, row), (5, 0), verticalalignment="center")
    axes.set(
        xlim=(0, 1.5 * max(1e3 * item.sample_j for item in items)),
        xlabel="mJ per image: light, the idle device's share; dark, above idle",
    )
    name_rows(axes, [item.name for item in items], 0.5)
    shown = "; ".join(f"{it.name}: {1e3 * it.sample_j:.3g} mJ" for it in items)
    return to_svg(figure, "energy", f"Energy per image. {shown}")
