"""A table in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeexit.cli.common import console
from edgeexit.formats import Table

if TYPE_CHECKING:
    from rich.console import Console

MORE_THAN_ANY = 10_000  # columns that a terminal has


def print_table(table: Table, out: Console | None = None) -> None:
    """Print a table; where it is wider than the terminal, its columns stand closer.

    Numbers are never broken in two.

    Args:
        out: where; left out, on stdout.
    """
    import rich.table

    out = out or console()
    drawn = rich.table.Table(title=table.title or None, caption="\n".join(table.notes) or None)
    for column in table.columns:
        if column.is_number:
            drawn.add_column(column.heading, justify="right", no_wrap=True)
        else:
            drawn.add_column(column.heading, overflow="fold")
    for rows in table.groups:
        drawn.add_section()
        for row in rows:
            drawn.add_row(*row)
    anywhere = out.options.update(max_width=MORE_THAN_ANY)
    if out.measure(drawn, options=anywhere).maximum > out.width:
        drawn.padding = (0, 0)
    out.print(drawn)
