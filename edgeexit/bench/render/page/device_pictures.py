"""Pictures of throughput by batch size, and of energy."""

from __future__ import annotations

from itertools import cycle

from markupsafe import Markup

from edgeexit.bench.render.page.drawing import (
    SERIES,
    drawn,
    legend_beside,
    log_axis,
    new_figure,
    tidy,
    to_svg,
)
from edgeexit.bench.results.energy import Energy
from edgeexit.bench.results.scenarios import OfflineResult
from edgeexit.drawing.palette import BLUE, SKY


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
    """Return millijoules per image: what the idle device takes in the same time, and the rest."""
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
    axes.set_xlabel("mJ per image: light what the idle device takes too, dark above it")
    tidy(axes, "x")
    shown = "; ".join(f"{it.name}: {1e3 * it.sample_j:.3g} mJ" for it in items)
    return to_svg(figure, "energy", f"Energy per image. {shown}")
