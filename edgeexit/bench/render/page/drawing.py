"""Pictures as inline SVG in the page's own colors, light or dark, with a text description.

matplotlib draws with placeholder colors, which are replaced by the page's CSS variables. Text
becomes outlines, so it looks the same everywhere and needs no font.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from markupsafe import Markup, escape

from edgeexit.drawing.style import AMBER, BLUE, GREEN, ORANGE, PINK, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Placeholders, like the palette's colors
INK, MUTED, GRID, PAPER = "#101112", "#737475", "#d8d9da", "#fdfcfb"
SERIES = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY)
VARIABLES = {
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    PINK: "--pink",
    AMBER: "--yellow",
    SKY: "--sky",
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
}
STYLE: dict[Any, Any] = {  # the keys' type is matplotlib's own list of them
    "svg.fonttype": "path",
    "savefig.dpi": 300,  # of a PNG
    "text.parse_math": False,  # a $ in a name is a $
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 9.5,
    "axes.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
}
WIDTH = 7.2  # inches
STEPS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7))  # of a logarithmic axis, in each power of ten
FEW_TICKS, MOST_TICKS = 4, 7
_ID = re.compile(r'(\bid="|href="#|url\(#)')
_HEAD = re.compile(r"<svg\b[^>]*>")
_VIEW = re.compile(r'viewBox="[0-9. -]+"')


@contextmanager
def page_style() -> Iterator[None]:
    """Draw and save in the page's style; also a decorator of functions that do."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        yield


def new_figure(height: float, rows: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure as wide as the page's text, and its axes, one or an array of them."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots(rows, **options)


def tidy(axes: Axes, grid: Literal["both", "x"] = "both") -> None:
    """Remove the top and right spines, and draw a grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid)
    axes.set_axisbelow(True)


def legend_beside(axes: Axes) -> None:
    """Place the legend to the right of the axes, where it covers nothing."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)


def note(axes: Axes, text: str, at: tuple[float, float], offset: Any, **options: Any) -> None:
    """Write ``text`` beside a point; the offset is in points."""
    axes.annotate(text, at, offset, textcoords="offset points", **options)


def name_rows(axes: Axes, names: Sequence[str], margin: float = 0.7) -> None:
    """Name the rows of a picture, 0, 1, ... from the top, with a margin above and below."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 1 + margin, -margin)
    tidy(axes, "x")


def log_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis of a finished drawing logarithmic, with enough round numbers to be readable.

    They are powers of ten, with more values between them if few of them are in view.
    """
    from matplotlib.ticker import MaxNLocator, NullLocator

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    powers = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices = [np.outer(powers, digits).ravel() for digits in STEPS]
    even = MaxNLocator(MOST_TICKS, steps=(1, 2, 2.5, 5, 10)).tick_values(low, high)
    in_view = [it[(low <= it) & (it <= high)] for it in (*choices, np.array(even))]
    ticks = next((it for it in in_view if len(it) >= FEW_TICKS), in_view[-1])
    axis.set_minor_locator(NullLocator())
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])


def to_svg(figure: Figure, name: str, described: str) -> Markup:
    """Return the figure as an ``<svg>`` element.

    Args:
        figure: of :func:`new_figure`.
        name: of the picture; prefixes its SVG ids, so that pictures on one page do not clash.
        described: text alternative for people who cannot see it.
    """
    import matplotlib as mpl

    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    head = _HEAD.search(svg)
    view = _VIEW.search(svg)
    assert head is not None
    assert view is not None
    body = _ID.sub(rf"\g<1>{name}-", svg[head.end() :])
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    for color, variable in VARIABLES.items():
        body = body.replace(color, f"var({variable})")
    label = escape(described)
    start = f'<svg class="picture" role="img" aria-label="{label}" {view[0]}>'
    return Markup(start + body)
