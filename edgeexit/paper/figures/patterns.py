"""Fig. 5: exit shares, costs and thresholds of several networks at one adaptive accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeexit_runtime.gate import NEVER

from edgeexit.drawing.style import (
    LIGHT_BLUE,
    MARKERS,
    MEGA,
    PAGE_WIDTH,
    exit_styles,
    new_figure,
    percent_axis,
    shorten,
)
from edgeexit.paper.figures.choosing import choose_at_accuracy, default_accuracy
from edgeexit.paper.figures.registry import Drawn, FigureOptions, figure
from edgeexit.paper.figures.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_HEIGHT, FRAME_HEIGHT = 0.36, 1.3  # inches
LEAST_LABELLED = 12  # percent: narrower parts have no room for their number
NEVER_AT = 1.3  # where "never" is drawn, beyond every softmax value


@dataclass(frozen=True, slots=True)
class PatternRow:
    """One network at the thresholds with the lowest average cost on val.

    Attributes:
        network: the network's name.
        asked_accuracy_percent: minimum accuracy on val that the thresholds are chosen for.
        accuracy_percent: adaptive accuracy on test.
        leaving_percent: share of the test samples that leaves at each exit.
        threshold_softmax: threshold of each exit but ``final``; 2 for an exit that is off.
        average_cost_macs: Eq. 5, on test.
        backbone_cost_macs: cost of the backbone alone.
    """

    network: str
    asked_accuracy_percent: float
    accuracy_percent: float
    leaving_percent: dict[str, float]
    threshold_softmax: dict[str, float]
    average_cost_macs: float
    backbone_cost_macs: int


@figure("patterns", papers=(5,))
def patterns(subjects: Sequence[Subject], options: FigureOptions) -> Drawn:
    accuracy = options.accuracy
    if accuracy is None:
        accuracy = default_accuracy(subjects)
    rows = pattern_rows(subjects, accuracy)
    return Drawn(draw_patterns(rows, subjects[0].images), rows)


def pattern_rows(subjects: Sequence[Subject], accuracy: float) -> list[PatternRow]:
    """Return a row for each network.

    Args:
        accuracy: minimum accuracy on val, 0 to 1, that thresholds are chosen for.

    Raises:
        TuningError: a network does not reach it; the message gives the nearest.
    """
    rows = []
    for subject in subjects:
        thresholds, report = choose_at_accuracy(subject, accuracy)
        rows.append(
            PatternRow(
                network=subject.name,
                asked_accuracy_percent=100 * accuracy,
                accuracy_percent=100 * report.adaptive_accuracy,
                leaving_percent={exit_.name: 100 * exit_.share for exit_ in report.exits},
                threshold_softmax=thresholds,
                average_cost_macs=report.average_macs,
                backbone_cost_macs=report.baseline_macs,
            )
        )
    return rows


def draw_patterns(rows: Sequence[PatternRow], images: str) -> Figure:
    """Draw a line of bars for each network, the first one on top.

    Args:
        images: a phrase for the images that the rows are measured on.
    """
    figure = new_figure(PAGE_WIDTH, FRAME_HEIGHT + ROW_HEIGHT * len(rows))
    shares, costs, gammas = figure.subplots(1, 3, sharey=True, width_ratios=[1.35, 1, 1])
    names = max((list(row.leaving_percent) for row in rows), key=len)
    _draw_shares(shares, rows, names)
    _draw_costs(costs, rows)
    _draw_thresholds(gammas, rows, names[:-1])
    shares.set_yticks(
        range(len(rows)),
        [f"{shorten(row.network, 26)}\n{row.accuracy_percent:.2f} %" for row in rows],
    )
    shares.set_ylim(len(rows) - 0.5, -0.5)
    for axes in (shares, costs, gammas):
        axes.tick_params(axis="y", length=0)
    asked = rows[0].asked_accuracy_percent
    figure.suptitle(
        f"lowest average cost on val with an accuracy of at least {asked:.4g} %\n"
        f"drawn, and the accuracies beside the names: of {images}"
    )
    figure.legend(loc="outside lower center", ncols=8, handlelength=1.5, columnspacing=1.2)
    return figure


def _draw_shares(axes: Axes, rows: Sequence[PatternRow], names: Sequence[str]) -> None:
    styles = exit_styles(names)
    left = [0.0] * len(rows)
    for name in names:
        widths = [row.leaving_percent.get(name, 0.0) for row in rows]
        axes.barh(
            range(len(rows)),
            widths,
            left=left,
            height=0.7,
            color=styles[name].color,
            hatch=styles[name].hatch,
            edgecolor="black",
            linewidth=0.6,
            label=name,
        )
        for place, (start, width) in enumerate(zip(left, widths, strict=True)):
            if width >= LEAST_LABELLED:
                axes.text(start + width / 2, place, f"{width:.3g}", **_LABEL)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    percent_axis(axes, "x", "test samples leaving", (0, 100))


def _draw_costs(axes: Axes, rows: Sequence[PatternRow]) -> None:
    places = range(len(rows))
    costs = [row.average_cost_macs / MEGA for row in rows]
    alone = [row.backbone_cost_macs / MEGA for row in rows]
    axes.barh(places, costs, height=0.7, color=LIGHT_BLUE, edgecolor="black", linewidth=0.6)
    for place, cost in zip(places, costs, strict=True):
        axes.text(0, place, f" {cost:.4g}", ha="left", va="center", fontsize=7)
    axes.plot(
        alone,
        places,
        linestyle="none",
        marker="|",
        markersize=13,
        markeredgewidth=1.6,
        color="black",
        label="backbone alone",
    )
    axes.set_xlim(0, 1.08 * max(*costs, *alone))
    axes.set_xlabel("average cost, Eq. 5 (M MACs)")
    axes.grid(True, axis="x")


def _draw_thresholds(axes: Axes, rows: Sequence[PatternRow], names: Sequence[str]) -> None:
    styles = exit_styles([*names, "final"])
    thresholds = [row.threshold_softmax for row in rows]
    for number, name in enumerate(names):
        known = [(i, given[name]) for i, given in enumerate(thresholds) if name in given]
        # shifted, since thresholds may be equal
        shift = 0.5 * ((number + 0.5) / len(names) - 0.5)
        axes.plot(
            [NEVER_AT if gamma == NEVER else gamma for _, gamma in known],
            [place + shift for place, _ in known],
            linestyle="none",
            marker=MARKERS[number % len(MARKERS)],
            markersize=6,
            markeredgecolor="black",
            markeredgewidth=0.6,
            color=styles[name].color,
            label=f"γ of {name}",
        )
    never = any(NEVER in given.values() for given in thresholds)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_xticks(
        [*ticks, NEVER_AT] if never else ticks, ["0", "", "0.5", "", "1", "never"][: 5 + never]
    )
    axes.set_xlim(-0.04, 1.42 if never else 1.04)
    axes.set_xlabel("threshold γ (softmax value)")
    axes.grid(True, axis="x")


_LABEL: dict[str, Any] = {
    "ha": "center",
    "va": "center",
    "fontsize": 7,
    "bbox": {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"},
}
