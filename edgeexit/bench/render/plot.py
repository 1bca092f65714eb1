"""One picture: measured cost against Eq. 5, for each path and for the mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexit.bench.results.report import BenchReport
from edgeexit.drawing.saving import save_picture
from edgeexit.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

SUFFIXES = (".png", ".pdf", ".svg")
# Okabe and Ito's colours, which colour-blind readers can tell apart; shapes differ for grey print
STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#000000", "v"))
MIXTURE = "mixture"
PATH_SIZE, MIXTURE_SIZE = 7, 12  # of a point, in points of print
POINTS_PER_INCH = 72
LINE_BOXES, LINE_WIDTH = 100, 4  # a line is kept free by so many boxes of so many pixels
# Where a label may stand around its point, in points of print, nearest first; those from NEAR on
# get a line to their point.
LABEL_OFFSETS = tuple(
    (x * distance, y * distance)
    for distance in (10, 18, 26, 36, 48, 62)
    for x, y in ((1, 0), (-1, 0), (0.8, -0.8), (-0.8, 0.8), (0.8, 0.8), (-0.8, -0.8))
)
NEAR = 6


def check_plot_path(path: Path) -> None:
    """Raise :class:`InputError` where the ending of ``path`` is not of a known kind of picture."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: expected a picture's name that ends in {', '.join(SUFFIXES)}")


def plot_report(report: BenchReport, path: Path) -> None:
    """Write the picture of one report; see :func:`plot_reports`."""
    plot_reports([report], path)


def plot_reports(reports: Sequence[BenchReport], path: Path) -> None:
    """Write the picture of up to five reports; the ending of ``path`` chooses PNG, PDF or SVG.

    Points on the line cost what Eq. 5 says of them, those above it more.

    Raises:
        InputError: another ending, or no reports, or more than five.
        WriteError: the file cannot be written.
    """
    check_plot_path(path)
    if not 1 <= len(reports) <= len(STYLES):
        raise InputError(f"expected 1 to {len(STYLES)} reports in a picture, got {len(reports)}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 5.8), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = [
        point
        for report, style in zip(reports, STYLES, strict=False)
        for point in _draw_points(axes, report, *style)
    ]
    legend = _draw_frame(axes, reports)
    figure.draw_without_rendering()  # places the axes, which labels are placed by
    _draw_labels(axes, points, [*_taken(axes, points), legend.get_window_extent()])
    save_picture(figure, path)


@dataclass(frozen=True, slots=True)
class _Point:
    """A drawn point that wants its name beside it."""

    name: str
    analytic: float
    measured: float
    color: str


def _draw_points(axes: Axes, report: BenchReport, color: str, marker: str) -> list[_Point]:
    points = [_Point(path.name, path.macs_ratio, path.ratio, color) for path in report.paths]
    x, y = [point.analytic for point in points], [point.measured for point in points]
    axes.plot(x, y, marker, color=color, markersize=PATH_SIZE, label=report.bundle.label)
    if report.mixture is not None:
        mixture = _Point(
            MIXTURE, report.mixture.macs_ratio, report.mixture.early_exit.ratio.value, color
        )
        axes.plot(mixture.analytic, mixture.measured, marker, **_mixture_style(color))
        points.append(mixture)
    return points


def _mixture_style(color: str) -> dict[str, Any]:
    """Return the look of a mixture: hollow and larger, so that it differs without its color."""
    hollow = {"markerfacecolor": "none", "markeredgewidth": 2}
    return {"color": color, "markersize": MIXTURE_SIZE, **hollow}


def _draw_frame(axes: Axes, reports: Sequence[BenchReport]) -> Legend:
    limit = 1.12 * max(1.0, axes.dataLim.xmax, axes.dataLim.ymax)
    axes.set(xlim=(0, limit), ylim=(0, limit), aspect="equal")
    axes.plot([0, limit], [0, limit], "-", color="0.45", linewidth=1.2, zorder=1, label="as Eq. 5")
    axes.axhline(1, linestyle=":", color="0.45", linewidth=1.2, zorder=1, label="plain backbone")
    axes.set_xlabel("Eq. 5: path MACs / plain backbone's MACs")
    axes.set_ylabel("measured: latency / plain backbone's latency")
    devices = dict.fromkeys(_device_line(report) for report in reports)
    axes.set_title("\n".join(devices), fontsize=9)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes.legend(loc="upper left", frameon=True, fontsize=9)


def _device_line(report: BenchReport) -> str:
    device = report.device
    threads = "" if device.threads is None else f", threads per graph: {device.threads}"
    return f"{device.cpu}, {device.backend_device}{threads}"


def _draw_labels(axes: Axes, points: list[_Point], taken: list[Bbox]) -> None:
    """Write each point's name at the nearest place that is free; boxes in pixels are not."""
    taken = list(taken)
    for point in points:
        labels = [_label(axes, point, offset) for offset in LABEL_OFFSETS]
        boxes = [label.get_window_extent() for label in labels]
        free = [not box.count_overlaps(taken) and _is_inside(box, axes.bbox) for box in boxes]
        chosen = free.index(True) if any(free) else 0  # rather overlapping than missing
        taken.append(boxes[chosen])
        for label in labels[:chosen] + labels[chosen + 1 :]:
            label.remove()
        if chosen >= NEAR:
            _lead(axes, point, LABEL_OFFSETS[chosen])


def _taken(axes: Axes, points: list[_Point]) -> list[Bbox]:
    """Return boxes, in pixels, around the points and along the two lines."""
    from matplotlib.transforms import Bbox

    point_size = MIXTURE_SIZE * axes.figure.dpi / POINTS_PER_INCH
    _, limit = axes.get_xlim()
    steps = [limit * number / LINE_BOXES for number in range(LINE_BOXES + 1)]
    lines = [(step, step) for step in steps] + [(step, 1.0) for step in steps]
    where = [(point.analytic, point.measured) for point in points]
    return [
        Bbox.from_extents(x - size / 2, y - size / 2, x + size / 2, y + size / 2)
        for size, places in ((point_size, where), (LINE_WIDTH, lines))
        for x, y in axes.transData.transform(places)
    ]


def _label(axes: Axes, point: _Point, offset: tuple[float, float]) -> Text:
    from matplotlib.transforms import ScaledTranslation

    x, y = (points / POINTS_PER_INCH for points in offset)
    moved = axes.transData + ScaledTranslation(x, y, axes.figure.dpi_scale_trans)
    return axes.text(
        point.analytic,
        point.measured,
        point.name,
        transform=moved,
        horizontalalignment="left" if offset[0] > 0 else "right",
        verticalalignment="center",
        color=point.color,
        fontsize=9,
    )


def _lead(axes: Axes, point: _Point, offset: tuple[float, float]) -> None:
    """Draw a thin line from a point to its name, which is not beside it."""
    axes.annotate(
        "",
        (point.analytic, point.measured),
        offset,
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": point.color, "linewidth": 0.6},
    )


def _is_inside(box: Bbox, frame: Bbox) -> bool:
    return frame.contains(*box.min) and frame.contains(*box.max)
