"""Figs. 12 and 13: accuracy with reconstructed features over N, one panel per stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexit.drawing.saving import save_picture
from edgeexit.drawing.style import AMBER, BLUE, GREEN, ORANGE, PINK, SKY
from edgeexit.paper.consistency.report import ConsistencyReport

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# markers differ, for printing in gray
STYLES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PINK, "D"), (AMBER, "v"), (SKY, "P"))
BASELINE = "0.25"
SPREAD = 0.07  # networks are drawn side by side, so that their error bars do not overlap
PANEL = (3.1, 3.6)  # inches
PANELS_PER_ROW = 3


def plot_consistency(
    report: ConsistencyReport, paths: Sequence[Path], *, repeated: str = "runs"
) -> None:
    """Write the picture to each of ``paths``, whose suffixes choose PNG, PDF or SVG.

    The control with shuffled features is omitted: it is so far below that the others could not be
    distinguished.

    Args:
        repeated: plural noun for the repetitions that the spread is over.

    Raises:
        WriteError: a file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(report.stages)
    columns = min(count, PANELS_PER_ROW) if count != 4 else 2
    rows = -(-count // columns)
    width = max(2, columns) * PANEL[0] + 0.4
    figure = Figure(figsize=(width, rows * PANEL[1] + 0.4), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for index, panel in enumerate(panels.flat):
        panel.set_visible(index < count)
        if index < count:
            _draw_panel(panel, report, report.stages[index])
    for row in panels:
        row[0].set_ylabel(f"baseline's accuracy, % of {report.settings.test_images:,} test images")
    _draw_frame(figure, report, repeated)
    for path in paths:
        save_picture(figure, path)


def _draw_panel(axes: Axes, report: ConsistencyReport, stage: str) -> None:
    networks = [network for network in report.networks if not network.control]
    for index, network in enumerate(networks):
        color, marker = STYLES[index % len(STYLES)]
        cells = [cell for cell in network.cells if cell.stage == stage]
        if not cells:
            continue
        shift = SPREAD * (index - (len(networks) - 1) / 2)
        axes.errorbar(
            [cell.depth + shift for cell in cells],
            [100 * cell.accuracy.mean for cell in cells],
            [100 * (cell.accuracy.std or 0) for cell in cells],
            color=color,
            marker=marker,
            linestyle="-" if index < len(STYLES) else ":",
            markersize=6,
            linewidth=1.4,
            capsize=3,
            label=network.name,
        )
    axes.axhline(
        100 * report.baseline_accuracy,
        linestyle="--",
        color=BASELINE,
        linewidth=1.2,
        zorder=1,
        label=f"baseline ({report.baseline})",
    )
    axes.set_title(f"features after {stage}", fontsize=10)
    axes.set_xlabel("number of non-linear layers, N")
    axes.set_xticks(sorted({cell.depth for network in networks for cell in network.cells}))
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_frame(figure: Figure, report: ConsistencyReport, repeated: str) -> None:
    handles: dict[str, Artist] = {}
    for panel in figure.axes:
        drawn, labels = panel.get_legend_handles_labels()
        handles.update(zip(labels, drawn, strict=True))
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=min(4, len(handles)),
        fontsize=9,
    )
    spread = f"\nmean and standard deviation of {report.runs} {repeated}" if report.runs > 1 else ""
    figure.suptitle(
        f"{report.backbone} on {report.settings.dataset}, with features reconstructed from "
        f"other networks{spread}",
        fontsize=9,
    )
