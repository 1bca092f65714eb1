"""Fig. 9: for each class, the exits where its images leave, and the accuracy of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeexit.drawing.style import (
    BLUE,
    ORANGE,
    PAGE_WIDTH,
    exit_styles,
    new_figure,
    percent_axis,
    shorten,
)
from edgeexit.paper.figures.registry import Drawn, FigureOptions, figure
from edgeexit.paper.figures.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 4.4  # inches
MOST_NAMED = 40  # with more classes their names would overlap, and points hide each other
MOST_LINED = 200
NEIGHBOURS = 0.05  # share of the classes in the window of a running mean


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class on test, at the network's own thresholds.

    Attributes:
        rank: rank by the share that leaves at the first exit, 1 for the lowest.
        class_name: the class's name.
        samples: number of its test samples.
        leaving_percent: share of the samples that leaves at each exit.
        backbone_accuracy_percent: accuracy of the final exit alone.
        adaptive_accuracy_percent: accuracy of the answers that the samples leave with.
        backbone_running_percent, adaptive_running_percent: means over the classes of neighboring
            ranks, 5 % of all; None where there are few enough classes to show each.
    """

    rank: int
    class_name: str
    samples: int
    leaving_percent: dict[str, float]
    backbone_accuracy_percent: float
    adaptive_accuracy_percent: float
    backbone_running_percent: float | None
    adaptive_running_percent: float | None


@figure("classes", papers=(9,), each=True)
def classes(subjects: Sequence[Subject], options: FigureOptions) -> Drawn:
    (subject,) = subjects
    rows = class_rows(subject)
    return Drawn(draw_classes(rows, subject.title), rows)


def class_rows(subject: Subject) -> list[ClassRow]:
    """Return the classes that have test samples, sorted by the share leaving at the first exit.

    Ties are in the order of the classes.
    """
    targets = subject.test.targets  # (N,), as the three below
    left_at, right = subject.left_at(), subject.adaptive_correct()
    alone = subject.test.correct[-1]
    of_class = {label: targets == label for label in np.unique(targets).tolist()}
    labels = sorted(of_class, key=lambda label: float(np.mean(left_at[of_class[label]] == 0)))
    backbone = [100 * float(alone[of_class[label]].mean()) for label in labels]
    adaptive = [100 * float(right[of_class[label]].mean()) for label in labels]
    backbone_running = _running_means(backbone)
    adaptive_running = _running_means(adaptive)
    rows = []
    for index, label in enumerate(labels):
        leaving = np.bincount(left_at[of_class[label]], minlength=len(subject.exit_names))
        samples = int(leaving.sum())
        shares = (100 * leaving / samples).tolist()
        rows.append(
            ClassRow(
                rank=index + 1,
                class_name=subject.class_names[label],
                samples=samples,
                leaving_percent=dict(zip(subject.exit_names, shares, strict=True)),
                backbone_accuracy_percent=backbone[index],
                adaptive_accuracy_percent=adaptive[index],
                backbone_running_percent=backbone_running[index],
                adaptive_running_percent=adaptive_running[index],
            )
        )
    return rows


def _running_means(values: Sequence[float]) -> Sequence[float | None]:
    """Return the mean of each value and its neighbors, of which there are fewer at both ends."""
    if len(values) <= MOST_NAMED:
        return [None] * len(values)
    reach = max(1, round(NEIGHBOURS * len(values) / 2))
    return [float(np.mean(values[max(0, i - reach) : i + reach + 1])) for i in range(len(values))]


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
        names = [shorten(row.class_name, 18, keep_end=False) for row in rows]
        accuracies.set_xticks(
            range(1, len(rows) + 1), names, rotation=90 if long or len(rows) > 20 else 0
        )
        accuracies.set_xlabel(f"class, {order}")
    else:
        accuracies.set_xlabel(f"rank of the class of {len(rows)}, {order}")
    figure.suptitle(shorten(title, 110))
    figure.legend(loc="outside lower center", ncols=8, columnspacing=1.4)
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
            label=name,
        )
        if name != names[-1] and len(rows) <= MOST_LINED:  # separates neighbors in gray, too
            axes.stairs(above, edges, color="black", linewidth=0.6, baseline=None)
        below = above
    percent_axis(axes, "y", "samples leaving", (0, 100))


def _draw_accuracies(axes: Axes, rows: Sequence[ClassRow]) -> None:
    ranks = [row.rank for row in rows]
    few = len(rows) <= MOST_NAMED
    backbone = [row.backbone_accuracy_percent for row in rows]
    adaptive = [row.adaptive_accuracy_percent for row in rows]
    size = 1.0 if few else 0.35
    alone = {"color": ORANGE, "marker": "s", "markerfacecolor": "none", "markersize": 7 * size}
    early = {"color": BLUE, "marker": "o", "markersize": 4 * size}
    for values, look, label in (
        (backbone, alone, "backbone alone"),
        (adaptive, early, "adaptive"),
    ):
        axes.plot(
            ranks,
            values,
            **look,  # type: ignore[arg-type]
            linestyle="none",
            markeredgewidth=1 if few else 0.4,
            alpha=1 if few else 0.5,
            clip_on=False,
            label=label if few else "",
        )
    if not few:
        _draw_running_means(axes, rows)
    lowest = min(*backbone, *adaptive)
    percent_axis(axes, "y", "accuracy", (max(0, 10 * (lowest // 10) - 5), 102))


def _draw_running_means(axes: Axes, rows: Sequence[ClassRow]) -> None:
    ranks = [row.rank for row in rows]
    for values, color, dashes, label in (
        ([row.backbone_running_percent or 0 for row in rows], ORANGE, "--", "backbone alone"),
        ([row.adaptive_running_percent or 0 for row in rows], BLUE, "-", "adaptive"),
    ):
        axes.plot(ranks, values, dashes, color="white", linewidth=3.5)  # outline over the points
        axes.plot(ranks, values, dashes, color=color, linewidth=1.8, label=f"{label}, mean")
