"""Pictures of measurements: accuracy against time, latencies, throughput, and energy."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from markupsafe import Markup

from edgeexit.bench.render.page.drawing import (
    INK,
    MUTED,
    SERIES,
    legend_beside,
    log_axis,
    name_rows,
    new_figure,
    note,
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


def front_picture(mixture: Mixture) -> Markup | None:
    """Return accuracy against mean latency of all candidates; None without labels."""
    points = [(run, run.accuracy) for run in mixture.runs if run.accuracy is not None]
    if not points:
        return None
    figure, axes = new_figure(3.6)
    others = cycle("^vD<>ph")
    for run, accuracy in points:
        color = COLORS[run.role]
        axes.plot(
            run.latency.mean_ms,
            100 * accuracy,
            MARKERS.get(run.role) or next(others),
            color=color,
            markersize=9,
            markeredgewidth=1.8,
            markerfacecolor="none" if run.role == EXIT_OFF else color,
            label=run.label,
        )
    low, high = (end(accuracy for _, accuracy in points) for end in (min, max))
    room = max(0.002, 0.25 * (high - low))
    axes.set(
        xlim=(0, 1.25 * max(run.latency.mean_ms for run, _ in points)),
        ylim=(100 * (low - room), 100 * min(1.001, high + room)),
        xlabel="mean latency, ms per image",
        ylabel="accuracy, %",
    )
    tidy(axes)
    legend_beside(axes)
    shown = "; ".join(f"{it.label}: {it.latency.mean_ms:.3g} ms, {its:.1%}" for it, its in points)
    return to_svg(figure, "front", f"Accuracy against mean latency. {shown}")


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
    axes.set(xlabel="latency, ms (logarithmic)", ylabel="share of images answered by then")
    axes.set_yticks((0, 0.25, 0.5, 0.75, 0.9, 0.99), ("0", "25%", "50%", "75%", "90%", "99%"))
    tidy(axes)
    legend_beside(axes)
    medians = "; ".join(f"{name}: median {np.median(values):.3g} ms" for name, values, *_ in lines)
    return to_svg(figure, "latency", f"Latency distributions. {medians}")


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
    axes.set(xlabel="batch size", ylabel="images per second", ylim=(0, None))
    tidy(axes)
    legend_beside(axes)
    shown = "; ".join(f"{it.name}: best {it.best_samples_per_s:.4g}" for it in results)
    return to_svg(figure, "offline", f"Images per second by batch size. {shown}")


def energy_picture(energy: Energy) -> Markup:
    """Return millijoules per image, split into the idle device's in the same time and the rest."""
    items = energy.runs
    figure, axes = new_figure(1.0 + 0.42 * len(items))
    for row, item in enumerate(items):
        total, above = 1e3 * item.sample_j, 1e3 * item.above_idle_j
        axes.barh(row, total - above, height=0.6, color=SKY)
        axes.barh(row, above, left=total - above, height=0.6, color=BLUE)
        turns = f"turns {1e3 * item.sample_min_j:.3g} to {1e3 * item.sample_max_j:.3g}"
        note(axes, f"{total:.3g}, {turns}", (total, row), (5, 0), verticalalignment="center")
    axes.set(
        xlim=(0, 1.5 * max(1e3 * item.sample_j for item in items)),
        xlabel="mJ per image: light, the idle device's share; dark, above idle",
    )
    name_rows(axes, [item.name for item in items], 0.5)
    shown = "; ".join(f"{it.name}: {1e3 * it.sample_j:.3g} mJ" for it in items)
    return to_svg(figure, "energy", f"Energy per image. {shown}")
