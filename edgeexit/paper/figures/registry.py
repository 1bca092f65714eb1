"""Figures by name.

A new figure is one file in this folder with a decorated function; nothing else changes::

    @network_figure("confidence", papers=(4,), about="...")
    def confidence(subject: Subject, options: FigureOptions) -> Drawn: ...

    @joint_figure("front", papers=(6, 7, 8), about="...")
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
    """What the user may choose.

    Attributes:
        accuracy: adaptive accuracy on val that thresholds are chosen for, 0 to 1; None for
            what :func:`edgeexit.paper.figures.choosing.default_accuracy` says.
        examples_per_exit: images shown of each exit.
        seed: of the choice of images.
    """

    accuracy: float | None = None
    examples_per_exit: int = 6
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture, and the numbers that are in it: frozen dataclasses of one kind."""

    figure: Figure
    rows: Sequence[Any]


Draw = Callable[[Sequence[Subject], FigureOptions], Drawn]
NetworkDraw = Callable[[Subject, FigureOptions], Drawn]


@dataclass(frozen=True, slots=True)
class FigureKind:
    """A figure that can be drawn.

    Attributes:
        name: what it is called, and its files.
        papers: the numbers of the paper's figures that it is the counterpart of.
        about: what it shows, in a phrase.
        draw: draws it of all networks, or of one.
        each: whether every network has one of its own.
        needs_branches: whether a plain backbone has no place in it.
    """

    name: str
    papers: tuple[int, ...]
    about: str
    draw: Draw
    each: bool
    needs_branches: bool


_FIGURES: Registry[FigureKind] = Registry("figure", package="edgeexit.paper.figures")


def joint_figure(
    name: str, *, papers: tuple[int, ...], about: str, needs_branches: bool = True
) -> Callable[[Draw], Draw]:
    """Return a decorator that registers a figure of all networks together."""

    def register(draw: Draw) -> Draw:
        _FIGURES.register(name)(FigureKind(name, papers, about, draw, False, needs_branches))
        return draw

    return register


def network_figure(
    name: str, *, papers: tuple[int, ...], about: str, needs_branches: bool = True
) -> Callable[[NetworkDraw], NetworkDraw]:
    """Return a decorator that registers a figure that each network has one of."""

    def register(draw: NetworkDraw) -> NetworkDraw:
        def draw_one(subjects: Sequence[Subject], options: FigureOptions) -> Drawn:
            (subject,) = subjects
            return draw(subject, options)

        _FIGURES.register(name)(FigureKind(name, papers, about, draw_one, True, needs_branches))
        return draw

    return register


def list_figures() -> list[FigureKind]:
    """Return all figures in the order of the paper."""
    return sorted(_FIGURES.values(), key=lambda kind: (kind.papers or (1000,), kind.name))


def select_figures(names: Iterable[str]) -> list[FigureKind]:
    """Return the figures of these names, ``confidence`` or ``fig4``, in the order of the paper.

    Raises:
        UnknownNameError: there is none of that name; the message offers close matches.
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
