"""A picture of the front on val, on which thresholds are chosen, and on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexit.drawing.saving import save_picture
from edgeexit.drawing.style import (
    BLUE,
    MEGA,
    ORANGE,
    new_figure,
    percent_axis,
    print_style,
    shorten,
)
from edgeexit.evaluation.path_costs import MACS
from edgeexit.thresholds.front import Front, Setting
from edgeexit.thresholds.tuning import Tuning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 5.0, 3.8  # inches


def write_tuned(path: Path, tuning: Tuning) -> None:
    """Draw the front and write the picture, atomically; the suffix of ``path`` selects its format.

    The chosen thresholds and the plain backbone are marked, on val and on test.

    Args:
        path: ends in .png, .pdf or .svg.
        tuning: the result of tuning.

    Raises:
        WriteError: the file cannot be written.
    """
    *_, alone = tuning.last_accuracy.values()
    title, chosen = tuning.subject.title, tuning.thresholds
    with print_style():
        save_picture(draw_tuned(tuning.front, tuning.front_by_split, chosen, alone, title), path)


def draw_tuned(
    front: Front,
    by_split: Mapping[str, Sequence[Setting]],
    chosen: Mapping[str, float] | None,
    backbone_accuracy: float,
    title: str,
) -> Figure:
    """Return the picture; ``backbone_accuracy`` is a fraction of the test samples."""
    costs = front.costs
    scale, unit = (MEGA, "M MACs") if costs.unit == MACS else (1.0, costs.unit)
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()

    def draw(settings: Sequence[Setting], style: str, label: str, **options: Any) -> None:
        places = [(it.average_cost / scale, 100 * it.accuracy) for it in settings]
        axes.plot(*zip(*places, strict=True), style, label=label, **options)

    alone = {"val": front.backbone_correct / front.samples, "test": backbone_accuracy}
    for (split, settings), color, dashes in zip(
        by_split.items(), (BLUE, ORANGE), ("-", "--"), strict=True
    ):
        where = ", where thresholds are chosen" if split == "val" else ""
        draw(settings, dashes, f"{split}{where}", color=color)
        marked = [setting for setting in settings if setting.thresholds == chosen]
        if marked:
            draw(marked, "o", f"chosen, on {split}", color=color)
        if costs.baseline is not None:
            backbone = Setting({}, alone[split], costs.in_unit(costs.baseline))
            label = f"the backbone alone, on {split}"
            draw([backbone], "D", label, color=color, markerfacecolor="none", clip_on=False)
    axes.set_xlabel(f"average cost ({unit})")
    percent_axis(axes, "y", "accuracy", None)
    axes.grid(True)
    axes.set_title(shorten(title, 60))
    figure.legend(loc="outside lower center", ncols=2, handlelength=3)
    return figure
