"""Figs. 6 to 8: accuracy over average cost of several networks, and of their backbones alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeexit.drawing.style import GREY, MEGA, line_style, new_figure, percent_axis, shorten
from edgeexit.paper.figures.choosing import choose_front
from edgeexit.paper.figures.registry import Drawn, FigureOptions, figure
from edgeexit.paper.figures.subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ADAPTIVE, BACKBONE = "adaptive", "backbone alone"
MOST_POINTS = 25
"""Points per network at most; more could not be distinguished."""

WIDTH, HEIGHT, LEGEND_HEIGHT = 5.0, 3.5, 0.18  # inches


@dataclass(frozen=True, slots=True)
class FrontRow:
    """One point of a network on test.

    Attributes:
        network: the network's name.
        kind: ``adaptive``, at thresholds on the front of val, or ``backbone alone``, the final
            exit for all samples.
        average_cost_macs: Eq. 5.
        accuracy_percent: accuracy of the answers.
        threshold_softmax: threshold of each exit but ``final``; 2 for an exit that is off.
    """

    network: str
    kind: str
    average_cost_macs: float
    accuracy_percent: float
    threshold_softmax: dict[str, float]


@figure("front", papers=(6, 7, 8), needs_branches=False)
def front(subjects: Sequence[Subject], options: FigureOptions) -> Drawn:
    rows = front_rows(subjects)
    return Drawn(draw_front(rows, subjects[0].images), rows)


def front_rows(subjects: Sequence[Subject]) -> list[FrontRow]:
    """Return the points of every network, adaptive ones in the order of their cost on val.

    A plain backbone has a single point.
    """
    rows = []
    for subject in subjects:
        if subject.has_branches:
            rows += [
                FrontRow(
                    subject.name,
                    ADAPTIVE,
                    report.average_macs,
                    100 * report.adaptive_accuracy,
                    thresholds,
                )
                for thresholds, report in choose_front(subject, MOST_POINTS)
            ]
        alone = 100 * float(subject.test.correct[-1].mean())
        rows.append(FrontRow(subject.name, BACKBONE, subject.cost.baseline_macs, alone, {}))
    return rows


def draw_front(rows: Sequence[FrontRow], images: str) -> Figure:
    """Draw a line per network with branches, and a hollow point per backbone alone."""
    names = list(dict.fromkeys(row.network for row in rows))
    figure = new_figure(WIDTH, HEIGHT + LEGEND_HEIGHT * (len(names) // 2 + 1))
    axes = figure.add_subplot()
    for number, name in enumerate(names):
        style = line_style(number)
        points = [row for row in rows if row.network == name and row.kind == ADAPTIVE]
        shown = shorten(name, 32)
        if points:
            axes.plot(
                [row.average_cost_macs / MEGA for row in points],
                [row.accuracy_percent for row in points],
                style.dashes,
                marker=style.marker,
                color=style.color,
                label=shown,
            )
        (alone,) = (row for row in rows if row.network == name and row.kind == BACKBONE)
        axes.plot(
            alone.average_cost_macs / MEGA,
            alone.accuracy_percent,
            style.marker,
            **_HOLLOW,
            color=style.color,
            clip_on=False,
            zorder=3,
            label="" if points else f"{shown}, a plain backbone",
        )
    if any(row.kind == ADAPTIVE for row in rows):
        axes.plot([], [], "o", **_HOLLOW, color=GREY, label="hollow: its backbone alone")
    axes.set_xlabel("average cost, Eq. 5 (M MACs)")
    percent_axis(axes, "y", "accuracy", None)
    axes.grid(True)
    axes.set_title(f"thresholds chosen on val, drawn: {images}")
    figure.legend(loc="outside lower center", ncols=2, handlelength=3)
    return figure


_HOLLOW: dict[str, Any] = {"markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.6}
