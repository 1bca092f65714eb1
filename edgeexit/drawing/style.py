"""The style of all figures: sizes, fonts, colors, hatches and markers, also distinct in gray."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette for color-blind readers, without its yellow, which is too pale
BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
AMBER, SKY, BLACK = "#e69f00", "#56b4e9", "#000000"

PAGE_WIDTH = 7.16
"""Width in inches of both columns of a page in journals and proceedings."""

DPI = 300
MEGA = 1e6

LIGHT_BLUE = "#99c7e0"  # for areas behind text
GREY = "0.4"
LINES = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DASHES = ("-", "--", "-.", ":")
# neighbors differ in lightness and hatch
BRANCHES = (
    (SKY, ""),
    (BLUE, "////"),
    (AMBER, "...."),
    (GREEN, "\\\\\\\\"),
    (PINK, "xxxx"),
    (ORANGE, "----"),
)
FINAL = ("0.85", "")

_SETTINGS: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "figure.titlesize": 8.5,
    "font.family": "DejaVu Sans",  # bundled with matplotlib: the same everywhere
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # keep text as text
    "text.parse_math": False,  # a name may contain a dollar sign
    "text.usetex": False,
    "savefig.dpi": DPI,
}


@dataclass(frozen=True, slots=True)
class ExitStyle:
    """The fill style of an exit."""

    color: str
    hatch: str


@dataclass(frozen=True, slots=True)
class LineStyle:
    """The style of a network's line and markers."""

    color: str
    marker: str
    dashes: str


@contextmanager
def print_style() -> Iterator[None]:
    """Draw and save with the settings of this module; restore the user's settings afterwards."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        # characters that the font lacks, as in class names, are drawn as boxes; the CSV has them
        warnings.filterwarnings("ignore", message="Glyph .* missing from ")
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
        yield


def new_figure(width: float, height: float, *, constrained: bool = True) -> Figure:
    """Return an empty figure of that size in inches, independent of pyplot and its windows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained" if constrained else None)
    FigureCanvasAgg(figure)
    return figure


def exit_styles(exit_names: Sequence[str]) -> dict[str, ExitStyle]:
    """Return the style of each exit by name; the last exit always has the same style."""
    branches = [ExitStyle(*BRANCHES[i % len(BRANCHES)]) for i in range(len(exit_names) - 1)]
    return dict(zip(exit_names, [*branches, ExitStyle(*FINAL)], strict=True))


def line_style(index: int) -> LineStyle:
    """Return the style of a network by its number."""
    return LineStyle(
        LINES[index % len(LINES)],
        MARKERS[index % len(MARKERS)],
        DASHES[index // len(LINES) % len(DASHES)],
    )


def percent_axis(axes: Axes, which: str, label: str, limits: tuple[float, float] | None) -> None:
    """Label an axis of ``axes``, ``x`` or ``y``, and draw its grid."""
    getattr(axes, f"set_{which}label")(f"{label} (%)")
    if limits is not None:
        getattr(axes, f"set_{which}lim")(*limits)
    axes.grid(True, axis="x" if which == "x" else "y")


def shorten(text: str, length: int, *, keep_end: bool = True) -> str:
    """Return ``text`` without unprintable characters and at most ``length`` characters long.

    The middle is cut out, or the end without ``keep_end``.
    """
    clean = "".join(character if character.isprintable() else "?" for character in text)
    if clean.startswith("_"):
        clean = f" {clean}"  # legends omit labels that begin with it
    length = max(1, length)
    if len(clean) <= length:
        return clean
    tail = (length - 1) // 2 if keep_end else 0
    return f"{clean[: length - 1 - tail]}…{clean[len(clean) - tail :]}"
