"""Fig. 10: accuracy of classes that leave early or late, and of three ways of inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeexit.drawing.style import BLUE, MEGA, ORANGE, PAGE_WIDTH, new_figure, percent_axis, shorten
from edgeexit.evaluation import evaluate_adaptive
from edgeexit.paper.figures.classes import class_rows
from edgeexit.paper.figures.labels import PointLabel, place_labels
from edgeexit.paper.figures.registry import Drawn, FigureOptions, figure
from edgeexit.paper.figures.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ASCENDING, DESCENDING, INFERENCE = "lowest first", "highest first", "inference"
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Group sizes as shares of all classes: 50 to 500 of the paper's 1000."""

HEIGHT = 2.9  # inches


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group of classes, or all samples with one way of inference; on test.

    Attributes:
        kind: ``lowest first`` and ``highest first`` for the classes with the lowest and with the
            highest shares leaving at the first exit; ``inference`` for all samples.
        name: number of classes of a group, or the way of inference.
        leaving_first_percent: mean share leaving at the first exit, over the group's classes; None
            for ``inference``.
        accuracy_percent: of a group, the mean adaptive accuracy of its classes; otherwise the
            accuracy over all samples.
        average_cost_macs: Eq. 5; None for a group.
    """

    kind: str
    name: str
    leaving_first_percent: float | None
    accuracy_percent: float
    average_cost_macs: float | None


@figure("groups", papers=(10,), each=True)
def groups(subjects: Sequence[Subject], options: FigureOptions) -> Drawn:
    (subject,) = subjects
    rows = group_rows(subject)
    return Drawn(draw_groups(rows, subject.title, subject.exit_names[0]), rows)


def group_sizes(classes: int) -> list[int]:
    """Return the numbers of classes in the groups, ascending: 5 % to 50 % of them."""
    return sorted({max(1, round(share * classes)) for share in SHARES})


def group_rows(subject: Subject) -> list[GroupRow]:
    """Return the groups of classes, then the three ways of inference."""
    classes = class_rows(subject)  # ascending
    first = subject.exit_names[0]
    rows = []
    for kind, ordered in ((ASCENDING, classes), (DESCENDING, classes[::-1])):
        for size in group_sizes(len(classes)):
            group = ordered[:size]
            leaving = float(np.mean([row.leaving_percent[first] for row in group]))
            accuracy = float(np.mean([row.adaptive_accuracy_percent for row in group]))
            rows.append(GroupRow(kind, str(size), leaving, accuracy, None))
    report = evaluate_adaptive(subject.test, subject.thresholds, subject.cost)
    for name, right, macs in (
        ("backbone alone", report.backbone_accuracy, report.baseline_macs),
        (f"all at {first}", report.exits[0].accuracy, subject.cost.exits[0].path_macs),
        ("adaptive", report.adaptive_accuracy, report.average_macs),
    ):
        rows.append(GroupRow(INFERENCE, name, None, 100 * right, macs))
    return rows


def draw_groups(rows: Sequence[GroupRow], title: str, first: str) -> Figure:
    """Draw the groups as points labeled with their size, and the ways of inference as bars."""
    figure = new_figure(PAGE_WIDTH, HEIGHT)
    relation, accuracies, costs = figure.subplots(1, 3, width_ratios=[1.6, 0.8, 0.8])
    lines = []
    for kind, color, marker in ((ASCENDING, ORANGE, "s"), (DESCENDING, BLUE, "o")):
        points = [
            PointLabel(row.name, row.leaving_first_percent or 0.0, row.accuracy_percent, color)
            for row in rows
            if row.kind == kind
        ]
        x, y = [point.x for point in points], [point.y for point in points]
        relation.plot(x, y, "-", marker=marker, color=color, label=kind)
        lines.append(points)
    percent_axis(relation, "y", "mean adaptive accuracy", None)
    percent_axis(relation, "x", f"mean share leaving at {first}", None)
    relation.margins(0.12)
    relation.grid(True)
    relation.set_title("groups of classes, numbers: classes in the group")
    legend = relation.legend(
        title=f"by the share leaving at {first}", title_fontsize=7.5, loc="best"
    )
    ways = [row for row in rows if row.kind == INFERENCE]
    _draw_ways(accuracies, ways, [row.accuracy_percent for row in ways])
    accuracies.set_ylabel("accuracy (%)")
    _draw_ways(costs, ways, [(row.average_cost_macs or 0) / MEGA for row in ways])
    costs.set_ylabel("average cost, Eq. 5 (M MACs)")
    figure.suptitle(shorten(title, 110))
    place_labels(relation, lines, [legend])
    return figure


def _draw_ways(axes: Axes, rows: Sequence[GroupRow], values: Sequence[float]) -> None:
    places = range(len(rows))
    bars = zip(places, values, ("0.85", ORANGE, BLUE), ("", "////", ""), strict=True)
    for place, value, color, hatch in bars:
        axes.bar(place, value, color=color, hatch=hatch, edgecolor="black", linewidth=0.6)
        axes.text(place, value, f"{value:.4g}", ha="center", va="bottom", fontsize=7)
    axes.set_xticks(places, ["\n".join(row.name.rsplit(" ", 1)) for row in rows])
    axes.set_ylim(0, 1.12 * max(values) or 1)
    axes.grid(True, axis="y")
