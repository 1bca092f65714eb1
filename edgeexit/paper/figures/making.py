"""Plans, draws and writes the chosen figures of all networks: NAME.png, NAME.pdf and NAME.csv."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeexit.drawing.saving import is_own_png, save_picture
from edgeexit.drawing.style import print_style
from edgeexit.errors import InputError, WriteError
from edgeexit.files import write_csv
from edgeexit.paper.figures.registry import Drawn, FigureKind, FigureOptions
from edgeexit.paper.figures.sources import file_names
from edgeexit.paper.figures.subject import Subject


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
    _check_replaceable(folder, [plan.name for plan in plans])
    for plan in plans:
        with print_style():
            drawn = plan.kind.draw(plan.subjects, options)
            files = _write(folder, plan.name, drawn)
        networks = tuple(subject.name for subject in plan.subjects)
        yield WrittenFigure(plan.kind.name, networks, tuple(map(str, files)))


def _write(folder: Path, name: str, drawn: Drawn) -> list[Path]:
    """Write the picture as PNG and PDF, and its numbers as CSV; each file is written atomically.

    The same figure gives the same bytes.

    Raises:
        WriteError: a file cannot be written.
    """
    paths = _paths(folder, name)
    for path in paths[:2]:
        save_picture(drawn.figure, path)
    write_csv(paths[2], *table(drawn.rows))
    return paths


def _check_replaceable(folder: Path, names: Iterable[str]) -> None:
    """Check that figures of these names would overwrite only older figures of edgeexit.

    Raises:
        WriteError: other files are there; the PNG file tells figures of edgeexit apart.
    """
    for paths in (_paths(folder, name) for name in names):
        there = [path for path in paths if path.exists()]
        if there and not is_own_png(paths[0]):
            raise WriteError(
                f"{there[0]}: is there, and is no figure of edgeexit; move it away or choose "
                "another -o"
            )


def _paths(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.{ending}" for ending in ("png", "pdf", "csv")]


def table(rows: Sequence[Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the column names and rows of a table of dataclasses of one type.

    A field that is a mapping becomes one column per key of any row, named ``FIELD_KEY``; None where
    a row lacks the key.
    """
    columns: dict[str, list[Any]] = {}
    for field in dataclasses.fields(rows[0]):
        values = [getattr(row, field.name) for row in rows]
        if isinstance(values[0], Mapping):
            for key in dict.fromkeys(key for value in values for key in value):
                columns[f"{field.name}_{key}"] = [value.get(key) for value in values]
        else:
            columns[field.name] = values
    return list(columns), list(zip(*columns.values(), strict=True))
