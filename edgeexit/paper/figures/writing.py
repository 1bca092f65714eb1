"""Writes pictures and their numbers: NAME.png, NAME.pdf and NAME.csv."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeexit.drawing.saving import is_own_png, save_picture
from edgeexit.errors import WriteError
from edgeexit.files import write_csv
from edgeexit.paper.figures.registry import Drawn


def write_figure(folder: Path, name: str, drawn: Drawn) -> list[Path]:
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


def check_replaceable(folder: Path, names: Iterable[str]) -> None:
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


def table(rows: Sequence[Any]) -> tuple[list[str], list[list[Any]]]:
    """Return the column names and rows of a table of dataclasses of one type.

    A field that is a mapping becomes one column per key of any row, named ``FIELD_KEY``; None where
    a row lacks the key.
    """
    flat = [_flat(row) for row in rows]
    keys: dict[str, dict[str, None]] = {}  # by field, in the order of their first appearance
    for row in flat:
        for field, column in row:
            keys.setdefault(field, {})[column] = None
    columns = [column for of_field in keys.values() for column in of_field]
    values = [{column: value for (_, column), value in row.items()} for row in flat]
    return columns, [[row.get(column) for column in columns] for row in values]


def _flat(row: Any) -> dict[tuple[str, str], Any]:
    flat: dict[tuple[str, str], Any] = {}
    for field in dataclasses.fields(row):
        value = getattr(row, field.name)
        if isinstance(value, Mapping):
            flat |= {(field.name, f"{field.name}_{key}"): part for key, part in value.items()}
        else:
            flat[field.name, field.name] = value
    return flat
