"""Pictures of why measured times differ from Eq. 5: waterfalls of terms, and the roofline."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from edgeexit.bench.render.page.drawing import (
    INK,
    MUTED,
    legend_beside,
    log_axis,
    name_rows,
    new_figure,
    note,
    tidy,
    to_svg,
)
from edgeexit.bench.results.explanation import BYTES, GATE, UTILIZATION, Breakdown, Explanation
from edgeexit.bench.results.roofline import PartRoofline
from edgeexit.drawing.style import BLUE, ORANGE, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HUNDREDTH = 0.01
TERM_NAMES = {BYTES: "bytes moved", UTILIZATION: "low utilization", GATE: "gate and copies"}


def breakdown_picture(explanation: Explanation) -> Markup:
    """Return a waterfall for each path, from Eq. 5's ratio to the measured one."""
    breakdowns = explanation.breakdowns
    steps = len(breakdowns[0].terms) + 2
    figure, axes = new_figure(
        0.5 + (0.45 + 0.26 * steps) * len(breakdowns), len(breakdowns), sharex=True, squeeze=False
    )
    for frame, breakdown in zip(axes[:, 0], breakdowns, strict=True):
        _draw_steps(frame, breakdown)
    reached = [np.cumsum([it.macs_ratio, *(t.ratio for t in it.terms)]) for it in breakdowns]
    low, high = min(0.0, *map(np.min, reached)), max(map(np.max, reached))
    axes[0, 0].set_xlim(low - 0.06 * (high - low), high + 0.22 * (high - low))
    axes[-1, 0].set_xlabel("time over the plain backbone's")
    shown = "; ".join(
        f"{it.label}: Eq. 5 {it.macs_ratio:.2f}, "
        + ", ".join(f"{TERM_NAMES.get(t.name, t.name)} {t.ratio:+.2f}" for t in it.terms)
        + f", measured {it.measured_ratio:.2f}"
        for it in breakdowns
    )
    return to_svg(figure, "breakdown", f"From Eq. 5's ratio to the measured one. {shown}")


def _draw_steps(axes: Axes, breakdown: Breakdown) -> None:
    """Draw a waterfall: each bar begins where the one above ended."""
    names = [
        "Eq. 5",
        *(TERM_NAMES.get(term.name, term.name) for term in breakdown.terms),
        "measured",
    ]
    _bar(axes, 0, 0, breakdown.macs_ratio, MUTED, f"{breakdown.macs_ratio:.2f}")
    at = breakdown.macs_ratio
    for row, term in enumerate(breakdown.terms, start=1):
        value = "0.00" if abs(term.ratio) < HUNDREDTH / 2 else f"{term.ratio:+.2f}"
        shown = value + (" (noise)" if term.is_noise else "")
        _bar(axes, row, at, term.ratio, ORANGE if term.ratio > 0 else SKY, shown)
        axes.plot([at, at], [row - 1, row], color=MUTED, linewidth=0.8)
        at += term.ratio
    _bar(axes, len(names) - 1, 0, breakdown.measured_ratio, BLUE, f"{breakdown.measured_ratio:.2f}")
    axes.axvline(1, color=MUTED, linestyle="--", linewidth=1, zorder=0)
    axes.set_title(breakdown.label, loc="left", fontweight="bold")
    name_rows(axes, names)


def _bar(axes: Axes, row: int, start: float, length: float, color: str, text: str) -> None:
    axes.barh(row, length, left=start, height=0.72, color=color)
    note(axes, text, (max(start, start + length), row), (4, 0), verticalalignment="center")


def roofline_picture(explanation: Explanation) -> Markup | None:
    """Return each part's achieved rate under the roofline; None without peaks or MACs."""
    peaks = explanation.peaks
    parts = [part for part in explanation.parts if part.moved_bytes and part.macs]
    if peaks is None or not parts:
        return None
    figure, axes = new_figure(4.0)
    peak = peaks.macs_per_s / 1e9
    slopes = {
        "cache": peaks.bandwidths[0].bytes_per_s / 1e9,
        "memory": peaks.bandwidths[-1].bytes_per_s / 1e9,
    }
    reach = [part.macs_per_byte for part in parts]
    left = min(*reach, peak / slopes["memory"] / 15) / 2
    right = 2 * max(*reach, peak / slopes["memory"])
    lowest = min(part.gmacs_per_s for part in parts)
    axes.set(xlim=(left, right), ylim=(lowest / 2, 2.5 * peak))
    axes.plot([left, right], [peak, peak], color=INK, linewidth=1.3)
    note(axes, f"peak, {peak:.3g} GMAC/s", (left, peak), (6, 4))
    for (name, slope), style, below in zip(slopes.items(), (":", "-"), (False, True), strict=True):
        ridge = peak / slope
        axes.plot([left, ridge], [slope * left, peak], style, color=INK, linewidth=1.3)
        at = (left * ridge**2) ** (1 / 3)  # names are written to the left of it
        offset, side = ((8, -12), "left") if below else ((-8, 6), "right")
        text = f"{name}, {slope:.3g} GB/s"
        note(axes, text, (at, slope * at), offset, horizontalalignment=side)
    _draw_achieved(axes, parts)
    axes.set(xlabel="MACs per byte moved", ylabel="GMAC/s achieved")
    log_axis(axes, "x")
    log_axis(axes, "y")
    tidy(axes)
    legend_beside(axes)
    shown = "; ".join(f"{part.label}: {part.gmacs_per_s:.3g} GMAC/s" for part in parts)
    return to_svg(figure, "roofline", f"Roofline, peak {peak:.3g} GMAC/s. {shown}")


def _draw_achieved(axes: Axes, parts: Sequence[PartRoofline]) -> None:
    """Draw the parts: kinds differ in color, parts of a kind in shape; branches are hollow."""
    colors = {"stage": BLUE, "branch": ORANGE, "baseline": INK}
    markers = {kind: cycle("osD^v<>ph") for kind in colors}
    for part in parts:
        kind = part.kind
        axes.plot(
            part.macs_per_byte,
            part.gmacs_per_s,
            next(markers[kind]) if kind != "baseline" else "x",
            color=colors[kind],
            markersize=8,
            markeredgewidth=1.8,
            markerfacecolor="none" if kind == "branch" else colors[kind],
            label=f"{part.label}, {part.gmacs_per_s:.3g}",
            zorder=3,
        )
