"""Figures by name.

A new figure is one file in this folder with a decorated function; nothing else changes::

    @figure("front", papers=(6, 7, 8))
    def front(subjects: Sequence[Subject], options: FigureOptions) -> Drawn: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeexit.errors import UnknownNameError
from edgeexit.paper.figures.subject import Subject
from edgeexit.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class FigureOptions:
    """Options of the figures.

    Attributes:
        accuracy: adaptive accuracy on val that thresholds are chosen for, 0 to 1; None for
            :func:`edgeexit.paper.figures.choosing.default_accuracy`.
        examples_per_exit: number of images shown for each exit.
        seed: seed of the choice of images.
    """

    accuracy: float | None = None
    examples_per_exit: int = 6
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture, and the numbers in it: frozen dataclasses of one type."""

    figure: Figure
    rows: Sequence[Any]


Draw = Callable[[Sequence[Subject], FigureOptions], Drawn]


@dataclass(frozen=True, slots=True)
class FigureKind:
    """A figure that can be drawn.

    Attributes:
        name: name of the figure, and prefix of its files.
        papers: the numbers of the paper's figures that it reproduces.
        draw: draws it for all networks, or for a single one.
        each: whether there is one figure per network.
        needs_branches: whether plain backbones are omitted.
    """

    name: str
    papers: tuple[int, ...]
    draw: Draw
    each: bool
    needs_branches: bool


_FIGURES: Registry[FigureKind] = Registry("figure", package="edgeexit.paper.figures")


def figure(
    name: str, *, papers: tuple[int, ...], each: bool = False, needs_branches: bool = True
) -> Callable[[Draw], Draw]:
    """Return a decorator that registers a figure of all networks, or of ``each`` one."""

    def register(draw: Draw) -> Draw:
        _FIGURES.register(name)(FigureKind(name, papers, draw, each, needs_branches))
        return draw

    return register


def list_figures() -> list[FigureKind]:
    """Return all figures in the order of the paper."""
    return sorted(_FIGURES.values(), key=lambda kind: kind.papers)


def select_figures(names: Iterable[str]) -> list[FigureKind]:
    """Return the figures of these names, ``confidence`` or ``fig4``, in the order of the paper.

    Raises:
        UnknownNameError: there is no figure of that name; the message offers close matches.
    """
    kinds = list_figures()
    known = {kind.name: kind for kind in kinds}
    known |= {f"fig{number}": kind for kind in kinds for number in kind.papers}
    chosen = []
    for name in names:
        if name not in known:
            raise UnknownNameError("figure", name, known)
        chosen.append(known[name])
    return [kind for kind in kinds if kind in chosen]
