"""Pictures of what real images took: accuracy against time, and latencies by exit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from markupsafe import Markup

from edgeexit.bench.alternatives import CHAIN, PLAIN
from edgeexit.bench.page.drawing import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    SERIES,
    drawn,
    legend_beside,
    log_axis,
    new_figure,
    tidy,
    to_svg,
)
from edgeexit.bench.report import BenchReport, Mixture

__all__ = ["front_picture", "latency_picture"]

EXIT_OFF = " off"  # ends the names of the chain with an exit switched off


@dataclass(frozen=True, slots=True)
class _Point:
    name: str
    mean_ms: float
    accuracy: float
    look: dict[str, Any]


@drawn
def front_picture(report: BenchReport) -> Markup | None:
    """Return accuracy against mean latency of all alternatives; None without labels."""
    mixture = report.mixture
    points = [] if mixture is None else list(_points(mixture))
    if len(points) < 2:
        return None
    figure, axes = new_figure(3.6)
    for point in points:
        axes.plot(point.mean_ms, 100 * point.accuracy, **point.look)
    low, high = min(it.accuracy for it in points), max(it.accuracy for it in points)
    room = max(0.002, 0.25 * (high - low))
    axes.set_ylim(100 * (low - room), 100 * min(1.001, high + room))
    axes.set_xlim(0, 1.25 * max(point.mean_ms for point in points))
    axes.set_xlabel("mean latency, ms per image")
    axes.set_ylabel("accuracy, %")
    tidy(axes)
    handles = [axes.plot([], [], label=point.name, **point.look)[0] for point in points]
    legend_beside(axes, handles=handles)
    shown = "; ".join(f"{it.name}: {it.mean_ms:.3g} ms, {it.accuracy:.1%}" for it in points)
    return to_svg(figure, "front", f"Accuracy against mean latency. {shown}")


def _points(mixture: Mixture) -> Iterator[_Point]:
    if mixture.accuracy is None or mixture.baseline_accuracy is None:
        return
    own = (
        (PLAIN, mixture.baseline_latency.mean_ms, mixture.baseline_accuracy, INK, "s"),
        (CHAIN, mixture.latency.mean_ms, mixture.accuracy, BLUE, "o"),
    )
    for name, mean_ms, accuracy, color, marker in own:
        yield _Point(name, mean_ms, accuracy, _look(color, marker))
    markers = cycle("^vD<>ph")
    for other in mixture.alternatives:
        if other.accuracy is not None:
            is_ours = other.name.endswith(EXIT_OFF)
            look = _look(GREEN if is_ours else ORANGE, next(markers), hollow=is_ours)
            yield _Point(other.name, other.latency.mean_ms, other.accuracy, look)


def _look(color: str, marker: str, hollow: bool = False) -> dict[str, Any]:
    return {
        "color": color,
        "marker": marker,
        "linestyle": "none",
        "markersize": 9,
        "markeredgewidth": 1.8,
        "markerfacecolor": "none" if hollow else color,
    }


@drawn
def latency_picture(mixture: Mixture) -> Markup:
    """Return which share of the images was answered within which time, by exit."""
    figure, axes = new_figure(3.4)
    times_ms, left_at = np.array(mixture.times_ms), np.array(mixture.left_at)
    lines = [
        (PLAIN, np.array(mixture.baseline_times_ms).ravel(), MUTED, "--", 2.4),
        (f"{CHAIN}, all images", times_ms.ravel(), INK, "-", 2.4),
    ]
    for index, (exit_, color) in enumerate(zip(mixture.exits, cycle(SERIES), strict=False)):
        if exit_.latency is not None:
            name = f"left at {exit_.name} ({exit_.share:.1%})"
            lines.append((name, times_ms[:, left_at == index].ravel(), color, "-", 1.4))
    for name, values, color, style, width in lines:
        axes.ecdf(values, color=color, linestyle=style, linewidth=width, label=name)
    log_axis(axes, "x")
    axes.set_xlabel("latency, ms (logarithmic)")
    axes.set_ylabel("share of images answered by then")
    axes.set_yticks((0, 0.25, 0.5, 0.75, 0.9, 0.99))
    axes.set_yticklabels(("0", "25%", "50%", "75%", "90%", "99%"))
    tidy(axes)
    legend_beside(axes)
    medians = "; ".join(f"{name}: median {np.median(values):.3g} ms" for name, values, *_ in lines)
    return to_svg(figure, "latency", f"Latency distributions. {medians}")
