"""A picture of the front on val, on which thresholds are chosen, and on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
from edgeexit.thresholds.front import Front
from edgeexit.thresholds.front_file import FrontPoint
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
        save_picture(draw_tuned(tuning.front, tuning.points, chosen, alone, title), path)


def draw_tuned(
    front: Front,
    points: Sequence[FrontPoint],
    chosen: Mapping[str, float] | None,
    backbone_accuracy: float,
    title: str,
) -> Figure:
    """Return the picture; ``backbone_accuracy`` is a fraction of the test samples."""
    scale, unit = (MEGA, "M MACs") if front.costs.unit == MACS else (1.0, front.costs.unit)
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()
    for split, color, dashes in (("val", BLUE, "-"), ("test", ORANGE, "--")):
        settings = [getattr(point, split) for point in points]
        axes.plot(
            [setting.average_cost / scale for setting in settings],
            [100 * setting.accuracy for setting in settings],
            dashes,
            color=color,
            label=f"{split}, where thresholds are chosen" if split == "val" else split,
        )
        for setting in settings:
            if chosen is not None and setting.thresholds == chosen:
                axes.plot(
                    setting.average_cost / scale,
                    100 * setting.accuracy,
                    "o",
                    color=color,
                    label=f"chosen, on {split}",
                )
    if front.costs.baseline is not None:
        alone = (front.backbone_correct / front.samples, backbone_accuracy)
        for split, color, accuracy in zip(("val", "test"), (BLUE, ORANGE), alone, strict=True):
            axes.plot(
                front.costs.in_unit(front.costs.baseline) / scale,
                100 * accuracy,
                "D",
                color=color,
                markerfacecolor="none",
                clip_on=False,
                label=f"the backbone alone, on {split}",
            )
    axes.set_xlabel(f"average cost ({unit})")
    percent_axis(axes, "y", "accuracy", None)
    axes.grid(True)
    axes.set_title(shorten(title, 60))
    figure.legend(loc="outside lower center", ncols=2, handlelength=3)
    return figure
