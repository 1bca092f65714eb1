"""Pictures of measurements: accuracy against time, latencies, throughput, and energy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from markupsafe import Markup

from edgeexit.bench.render.page.drawing import (
    INK,
    MUTED,
    SERIES,
    drawn,
    legend_beside,
    log_axis,
    new_figure,
    tidy,
    to_svg,
)
from edgeexit.bench.results.energy import Energy
from edgeexit.bench.results.mixture import (
    BACKEND,
    BASELINE,
    EARLY_EXIT,
    EXIT_OFF,
    ISO_ACCURACY,
    VERSUS,
    Mixture,
)
from edgeexit.bench.results.scenarios import OfflineResult
from edgeexit.drawing.style import BLUE, GREEN, ORANGE, SKY

COLORS = {
    BASELINE: INK,
    EARLY_EXIT: BLUE,
    EXIT_OFF: GREEN,
    VERSUS: ORANGE,
    ISO_ACCURACY: ORANGE,
    BACKEND: BLUE,
}
MARKERS = {BASELINE: "s", EARLY_EXIT: "o"}  # other candidates get a marker each


@dataclass(frozen=True, slots=True)
class _Point:
    name: str
    mean_ms: float
    accuracy: float
    look: dict[str, Any]


@drawn
def front_picture(mixture: Mixture) -> Markup | None:
    """Return accuracy against mean latency of all candidates; None without labels."""
    points = list(_points(mixture))
    if not points:
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
    markers = cycle("^vD<>ph")
    for run in mixture.runs:
        if run.accuracy is not None:
            color, marker = COLORS[run.role], MARKERS.get(run.role) or next(markers)
            look = _look(color, marker, hollow=run.role == EXIT_OFF)
            yield _Point(run.label, run.latency.mean_ms, run.accuracy, look)


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
    """Return the cumulative distribution of latencies, by exit."""
    figure, axes = new_figure(3.4)
    baseline, early_exit = mixture.baseline, mixture.early_exit
    times_ms, left_at = np.array(early_exit.times_ms), np.array(mixture.left_at)
    lines = [
        (baseline.label, np.array(baseline.times_ms).ravel(), MUTED, "--", 2.4),
        (f"{early_exit.label}, all images", times_ms.ravel(), INK, "-", 2.4),
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


@drawn
def offline_picture(results: tuple[OfflineResult, ...]) -> Markup:
    """Return images per second by batch size."""
    figure, axes = new_figure(3.0)
    sizes = sorted({rate.batch_size for result in results for rate in result.rates})
    for result, color, marker in zip(results, cycle(SERIES), cycle("osD^v<>"), strict=False):
        axes.plot(
            [rate.batch_size for rate in result.rates],
            [rate.samples_per_s for rate in result.rates],
            marker=marker,
            color=color,
            label=result.name,
        )
    if len(sizes) > 1:
        log_axis(axes, "x")
        axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("batch size")
    axes.set_ylabel("images per second")
    tidy(axes)
    legend_beside(axes)
    shown = "; ".join(f"{it.name}: best {it.best_samples_per_s:.4g}" for it in results)
    return to_svg(figure, "offline", f"Images per second by batch size. {shown}")


@drawn
def energy_picture(energy: Energy) -> Markup:
    """Return millijoules per image, split into the idle device's in the same time and the rest."""
    items = energy.runs
    figure, axes = new_figure(1.0 + 0.42 * len(items))
    for row, item in enumerate(items):
        total, above = 1e3 * item.sample_j, 1e3 * item.above_idle_j
        axes.barh(row, total - above, height=0.6, color=SKY)
        axes.barh(row, above, left=total - above, height=0.6, color=BLUE)
        low, high = 1e3 * item.sample_min_j, 1e3 * item.sample_max_j
        axes.annotate(
            f"{total:.3g}, turns {low:.3g} to {high:.3g}",
            (total, row),
            (5, 0),
            textcoords="offset points",
            verticalalignment="center",
        )
    axes.set_xlim(0, 1.5 * max(1e3 * item.sample_j for item in items))
    axes.set_yticks(range(len(items)), [item.name for item in items])
    axes.set_ylim(len(items) - 0.5, -0.5)
    axes.set_xlabel("mJ per image: light, the idle device's share; dark, above idle")
    tidy(axes, "x")
    shown = "; ".join(f"{it.name}: {1e3 * it.sample_j:.3g} mJ" for it in items)
    return to_svg(figure, "energy", f"Energy per image. {shown}")
