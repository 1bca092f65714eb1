"""Plans and draws the chosen figures for all networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeexit.drawing.style import print_style
from edgeexit.errors import InputError
from edgeexit.paper.figures.registry import FigureKind, FigureOptions
from edgeexit.paper.figures.sources import file_names
from edgeexit.paper.figures.subject import Subject
from edgeexit.paper.figures.writing import check_replaceable, write_figure


@dataclass(frozen=True, slots=True)
class Plan:
    """One figure to draw.

    Attributes:
        kind: the kind of figure.
        name: the name of its files.
        subjects: the networks in it.
    """

    kind: FigureKind
    name: str
    subjects: tuple[Subject, ...]


@dataclass(frozen=True, slots=True)
class WrittenFigure:
    """A figure's files: its picture as PNG and PDF, its numbers as CSV."""

    figure: str
    networks: tuple[str, ...]
    files: tuple[str, ...]


def plan_figures(
    kinds: Sequence[FigureKind], subjects: Sequence[Subject]
) -> tuple[list[Plan], list[str]]:
    """Return the figures to draw, and remarks on networks that are omitted from figures.

    Raises:
        InputError: there is nothing to draw.
    """
    plans = []
    omitted: dict[str, list[str]] = {}  # figures, by the name of the network
    files = file_names([subject.name for subject in subjects])
    for kind in kinds:
        members = []
        for subject, file in zip(subjects, files, strict=True):
            if kind.needs_branches and not subject.has_branches:
                omitted.setdefault(subject.name, []).append(kind.name)
            elif kind.each:
                plans.append(Plan(kind, f"{kind.name}-{file}", (subject,)))
            else:
                members.append(subject)
        if members:
            plans.append(Plan(kind, kind.name, tuple(members)))
    if not plans:
        raise InputError(
            f"nothing to draw: {', '.join(kind.name for kind in kinds)} show exits, and "
            f"{', '.join(omitted)} has none but the last; give a network with branches, or draw "
            "'front'"
        )
    remarks = [
        f"{name} is a plain backbone: it is not in {', '.join(figures)}"
        for name, figures in omitted.items()
    ]
    return plans, remarks


def make_figures(
    plans: Sequence[Plan], options: FigureOptions, folder: Path
) -> Iterator[WrittenFigure]:
    """Draw each figure and write it to ``folder``, where it replaces an older one.

    Raises:
        TuningError: a network does not reach the accuracy asked for; the message gives the nearest.
        WriteError: a file cannot be written, or exists and is not a figure of edgeexit.
    """
    check_replaceable(folder, [plan.name for plan in plans])
    for plan in plans:
        with print_style():
            drawn = plan.kind.draw(plan.subjects, options)
            files = write_figure(folder, plan.name, drawn)
        networks = tuple(subject.name for subject in plan.subjects)
        yield WrittenFigure(plan.kind.name, networks, tuple(map(str, files)))
