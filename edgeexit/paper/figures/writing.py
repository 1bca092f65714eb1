"""Pictures and their numbers as files: NAME.png, NAME.pdf and NAME.csv."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeexit.files import replace_file, write_csv
from edgeexit.paper.figures.registry import Drawn

__all__ = ["table", "write_figure"]


def write_figure(folder: Path, name: str, drawn: Drawn) -> list[Path]:
    """Write the picture as PNG and PDF, and its numbers as CSV; each file is whole or not there.

    The same figure gives the same bytes.

    Raises:
        WriteError: a file cannot be written.
    """
    paths = [folder / f"{name}.{ending}" for ending in ("png", "pdf", "csv")]
    for path in paths[:2]:
        with replace_file(path) as temporary:
            # no date, by which each PDF would differ
            metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
            drawn.figure.savefig(temporary, metadata=metadata)
    write_csv(paths[2], *table(drawn.rows))
    return paths


def table(rows: Sequence[Any]) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and lines of dataclasses of one kind; what is None is left empty.

    A field that is a mapping is a column for each key of any row, named ``FIELD_KEY``.
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
