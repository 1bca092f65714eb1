"""Fig. 9: for each class, where its images leave, and how accurate the answers are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeexit.figures.registry import Drawn, FigureOptions, network_figure
from edgeexit.figures.style import (
    BLUE,
    ORANGE,
    PAGE_WIDTH,
    exit_styles,
    new_figure,
    percent_axis,
    shorten,
)
from edgeexit.figures.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ClassRow", "class_rows", "draw_classes"]

HEIGHT = 4.4  # inches
MOST_NAMED = 40  # with more classes their names would overlap, and points hide each other


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class on test, at the network's own thresholds.

    Attributes:
        rank: its place by the share that leaves at the first exit, 1 for the lowest.
        class_name: its name.
        samples: number of its test samples.
        leaving_percent: share of them that leaves at each exit.
        backbone_accuracy_percent: of the final exit alone.
        adaptive_accuracy_percent: of the answers that they leave with.
    """

    rank: int
    class_name: str
    samples: int
    leaving_percent: dict[str, float]
    backbone_accuracy_percent: float
    adaptive_accuracy_percent: float


@network_figure(
    "classes",
    papers=(9,),
    about="share leaving at each exit and accuracy, class by class",
)
def classes(subject: Subject, options: FigureOptions) -> Drawn:
    rows = class_rows(subject)
    return Drawn(draw_classes(rows, subject.title), rows)


def class_rows(subject: Subject) -> list[ClassRow]:
    """Return the classes that have test samples, by the share that leaves at the first exit.

    Ties: by adaptive accuracy, then in the order of the classes.
    """
    left_at, right = subject.left_at(), subject.adaptive_correct()
    alone, targets = subject.test.correct[-1], subject.test.targets
    rows = []
    for label, name in enumerate(subject.class_names):
        of_class = targets == label
        samples = int(np.count_nonzero(of_class))
        if not samples:
            continue
        leaving = np.bincount(left_at[of_class], minlength=len(subject.exit_names))
        rows.append(
            (
                name,
                samples,
                dict(zip(subject.exit_names, (100 * leaving / samples).tolist(), strict=True)),
                100 * float(alone[of_class].mean()),
                100 * float(right[of_class].mean()),
            )
        )
    first = subject.exit_names[0]
    rows.sort(key=lambda row: (row[2][first], row[4]))
    return [ClassRow(rank, *row) for rank, row in enumerate(rows, start=1)]


def draw_classes(rows: Sequence[ClassRow], title: str) -> Figure:
    """Draw the shares above, stacked, and the accuracies below; names where there is room."""
    figure = new_figure(PAGE_WIDTH, HEIGHT)
    shares, accuracies = figure.subplots(2, 1, sharex=True)
    edges: NDArray[np.float64] = np.arange(0.5, len(rows) + 1)  # of the ranks
    _draw_shares(shares, rows, edges)
    _draw_accuracies(accuracies, rows)
    accuracies.set_xlim(edges[0], edges[-1])
    first = next(iter(rows[0].leaving_percent))
    order = f"by the share leaving at {first}"
    if len(rows) <= MOST_NAMED:
        long = max(len(row.class_name) for row in rows) > 3
        names = [shorten(row.class_name, 16) for row in rows]
        accuracies.set_xticks(
            range(1, len(rows) + 1), names, rotation=90 if long or len(rows) > 20 else 0
        )
        accuracies.set_xlabel(f"class, {order}")
    else:
        accuracies.set_xlabel(f"rank of the class of {len(rows)}, {order}")
    figure.suptitle(shorten(title, 110))
    figure.legend(loc="outside lower center", ncols=6)
    return figure


def _draw_shares(axes: Axes, rows: Sequence[ClassRow], edges: NDArray[np.float64]) -> None:
    names = list(rows[0].leaving_percent)
    below = np.zeros(len(rows))
    for name, style in exit_styles(names).items():
        above = below + [row.leaving_percent[name] for row in rows]
        axes.stairs(
            above,
            edges,
            baseline=below,
            fill=True,
            facecolor=style.color,
            edgecolor="black",
            hatch=style.hatch,
            linewidth=0.4 if len(rows) <= MOST_NAMED else 0,
            label=f"leaving at {name}",
        )
        if name != names[-1]:  # keeps neighbours apart in grey, too
            axes.stairs(above, edges, color="black", linewidth=0.6, baseline=None)
        below = above
    percent_axis(axes, "y", "samples leaving", (0, 100))


def _draw_accuracies(axes: Axes, rows: Sequence[ClassRow]) -> None:
    ranks = [row.rank for row in rows]
    few = len(rows) <= MOST_NAMED
    for values, color, marker, label in (
        ([row.backbone_accuracy_percent for row in rows], ORANGE, "s", "accuracy, backbone alone"),
        ([row.adaptive_accuracy_percent for row in rows], BLUE, "o", "accuracy, adaptive"),
    ):
        hollow = marker == "s"
        axes.plot(
            ranks,
            values,
            marker,
            markersize=(7 if hollow else 4) if few else 2.2,
            markerfacecolor="none" if hollow else color,
            markeredgewidth=1 if few else 0.5,
            color=color,
            clip_on=False,
            label=label,
        )
    lowest = min(min(row.backbone_accuracy_percent, row.adaptive_accuracy_percent) for row in rows)
    percent_axis(axes, "y", "accuracy", (max(0, 10 * (lowest // 10) - 5), 102))
