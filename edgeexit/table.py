"""A table as data, which a terminal and a page draw each in its own way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and whether it holds numbers, which stand on the right."""

    heading: str
    is_number: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text; a line break in a heading or a cell is kept.

    Attributes:
        title: above it.
        columns: as many as each row has cells.
        groups: rows; a line is drawn between groups.
        notes: below it, a line each.
    """

    title: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[Row, ...], ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        title: str,
        columns: Iterable[Column],
        *groups: Iterable[Row],
        notes: Iterable[str] = (),
    ) -> Table:
        """Return a table of these groups and notes but those that are empty."""
        filled = tuple(rows for rows in map(tuple, groups) if rows)
        return cls(title, tuple(columns), filled, tuple(note for note in notes if note))


def texts(*headings: str) -> tuple[Column, ...]:
    """Return columns of words."""
    return tuple(Column(heading, False) for heading in headings)


def numbers(*headings: str) -> tuple[Column, ...]:
    """Return columns of numbers."""
    return tuple(Column(heading, True) for heading in headings)


def named_numbers(first: str, *headings: str) -> tuple[Column, ...]:
    """Return a column of names, and columns of numbers."""
    return *texts(first), *numbers(*headings)
