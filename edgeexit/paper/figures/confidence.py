"""Fig. 4: histograms of each exit's confidence, for right and for wrong answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from edgeexit_runtime.gate import NEVER

from edgeexit.drawing.style import BLUE, ORANGE, PAGE_WIDTH, new_figure, shorten
from edgeexit.paper.figures.registry import Drawn, FigureOptions, figure
from edgeexit.paper.figures.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 20
"""Bins of equal width from 0 to 1; each includes its lower edge, the last one both edges."""

COLUMNS = 4
PANEL_HEIGHT, FRAME_HEIGHT = 1.9, 0.6  # inches


@dataclass(frozen=True, slots=True)
class ConfidenceRow:
    """One bin of one exit's histograms.

    Attributes:
        exit: the exit's name.
        threshold_softmax: its threshold; None for ``final``.
        from_softmax, to_softmax: edges of the bin.
        correct_samples, incorrect_samples: test samples in the bin with a right, a wrong answer.
        correct_percent: share of all samples with a right answer; None if there are none.
        incorrect_percent: share of all samples with a wrong answer; None if there are none.
    """

    exit: str
    threshold_softmax: float | None
    from_softmax: float
    to_softmax: float
    correct_samples: int
    incorrect_samples: int
    correct_percent: float | None
    incorrect_percent: float | None


@figure("confidence", papers=(4,), each=True)
def confidence(subjects: Sequence[Subject], options: FigureOptions) -> Drawn:
    (subject,) = subjects
    rows = confidence_rows(subject)
    return Drawn(draw_confidence(rows, subject.title), rows)


def confidence_rows(subject: Subject) -> list[ConfidenceRow]:
    """Return the histograms of every exit over all test samples, none leaving earlier."""
    answers = subject.test
    edges = np.linspace(0, 1, BINS + 1).astype(np.float32)  # as the gate compares
    rows = []
    for name, sure, right in zip(
        answers.exit_names, answers.confidences, answers.correct, strict=True
    ):
        correct = np.histogram(sure[right], edges)[0].tolist()
        incorrect = np.histogram(sure[~right], edges)[0].tolist()
        rows += [
            ConfidenceRow(
                exit=name,
                threshold_softmax=subject.thresholds.get(name),
                from_softmax=i / BINS,
                to_softmax=(i + 1) / BINS,
                correct_samples=correct[i],
                incorrect_samples=incorrect[i],
                correct_percent=_percent(correct[i], sum(correct)),
                incorrect_percent=_percent(incorrect[i], sum(incorrect)),
            )
            for i in range(BINS)
        ]
    return rows


def draw_confidence(rows: Sequence[ConfidenceRow], title: str) -> Figure:
    """Draw one panel per exit: shares of right answers filled, of wrong answers hatched."""
    names = list(dict.fromkeys(row.exit for row in rows))
    columns = min(COLUMNS, len(names))
    lines = math.ceil(len(names) / columns)
    figure = new_figure(PAGE_WIDTH, FRAME_HEIGHT + lines * PANEL_HEIGHT)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        _draw_exit(axes, [row for row in rows if row.exit == name])
    shares = [s for row in rows for s in (row.correct_percent, row.incorrect_percent)]
    panels[0].set_ylim(0, 1.08 * max(share or 0 for share in shares))
    for unused in panels[len(names) :]:
        unused.remove()
    for index, axes in enumerate(panels[: len(names)]):
        lowest = index + columns >= len(names)  # in its column; the last row may be incomplete
        axes.tick_params(labelbottom=lowest)
        axes.set_xlabel("largest softmax value" if lowest else "")
        axes.set_ylabel("" if index % columns else "samples (% of their kind)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.suptitle(shorten(title, 110))
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _draw_exit(axes: Axes, rows: Sequence[ConfidenceRow]) -> None:
    edges = [row.from_softmax for row in rows] + [rows[-1].to_softmax]
    right = [row.correct_percent or 0 for row in rows]
    wrong = [row.incorrect_percent or 0 for row in rows]
    axes.stairs(right, edges, fill=True, color=BLUE, alpha=0.45, label="right answers")
    axes.stairs(right, edges, color=BLUE, linewidth=1)
    axes.stairs(
        wrong,
        edges,
        fill=True,
        facecolor="none",
        edgecolor=ORANGE,
        hatch="//////",
        linewidth=1,
        label="wrong answers",
    )
    threshold = rows[0].threshold_softmax
    if threshold is not None and threshold < NEVER:
        axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label="threshold γ")
    gamma = "" if threshold is None else f", γ = {threshold:.4g}"
    gamma = ", never left" if threshold == NEVER else gamma
    counts = f"{sum(r.correct_samples for r in rows)} right, "
    counts += f"{sum(r.incorrect_samples for r in rows)} wrong"
    axes.set_title(f"{rows[0].exit}{gamma}\n{counts}")
    axes.set(xlim=(0, 1))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axes.grid(True)


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None
