"""Placement of text labels beside points, without overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

# Candidate offsets of a label's center from its point, in typographic points, nearest first
OFFSETS = tuple(
    (x * distance, y * distance * 0.8)
    for distance in (10, 14, 19, 25, 32)
    for x, y in (
        (0, 1),
        (0, -1),
        (1, 0),
        (-1, 0),
        (0.8, -0.8),
        (-0.8, 0.8),
        (0.8, 0.8),
        (-0.8, -0.8),
    )
)
POINT_SIZE = 5.0  # typographic points that are kept free around each point
STEPS = 12  # boxes that keep the line between two points free
POINTS_PER_INCH = 72


@dataclass(frozen=True, slots=True)
class PointLabel:
    """A label for a point, whose data coordinates are ``x`` and ``y``."""

    text: str
    x: float
    y: float
    color: str


def place_labels(
    axes: Axes, lines: Sequence[Sequence[PointLabel]], taken: Sequence[Artist]
) -> None:
    """Write each label at the nearest free place, or the nearest one if none is free.

    Args:
        axes: the axes, complete except for the labels; their layout is computed here.
        lines: labels of points that are joined by a line.
        taken: artists that the labels must not cover.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # computes the layout
    size = POINT_SIZE * axes.figure.dpi / POINTS_PER_INCH
    filled = [artist.get_window_extent() for artist in taken]
    filled += [*(box for line in lines for box in _boxes(axes, line, size))]
    for label in (label for line in lines for label in line):
        choices = [_write(axes, label, offset) for offset in OFFSETS]
        boxes = [choice.get_window_extent() for choice in choices]
        free = [_is_inside(box, axes.bbox) and not box.count_overlaps(filled) for box in boxes]
        chosen = free.index(True) if any(free) else 0  # better overlapping than missing
        filled.append(boxes[chosen])
        for choice in choices[:chosen] + choices[chosen + 1 :]:
            choice.remove()


def _is_inside(box: Bbox, frame: Bbox) -> bool:
    return frame.contains(*box.min) and frame.contains(*box.max)


def _boxes(axes: Axes, line: Sequence[PointLabel], size: float) -> list[Bbox]:
    """Return boxes in pixels along a line through points."""
    from matplotlib.transforms import Bbox

    places = axes.transData.transform([(label.x, label.y) for label in line]).tolist()
    between = [
        (a[0] + (b[0] - a[0]) * step / STEPS, a[1] + (b[1] - a[1]) * step / STEPS)
        for a, b in pairwise(places)
        for step in range(1, STEPS)
    ]
    return [
        Bbox.from_extents(x - s / 2, y - s / 2, x + s / 2, y + s / 2)
        for s, where in ((size, places), (1.0, between))
        for x, y in where
    ]


def _write(axes: Axes, label: PointLabel, offset: tuple[float, float]) -> Annotation:
    return axes.annotate(
        label.text,
        (label.x, label.y),
        offset,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=6.5,
        color=label.color,
    )
