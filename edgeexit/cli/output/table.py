"""A neutral table, drawn in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from edgeexit.bench.render.table import Table

MORE_THAN_ANY = 10_000  # columns that a terminal has


def print_table(table: Table, out: Console) -> None:
    """Print a table; where it is wider than the terminal, its columns stand closer.

    Numbers are never broken in two.
    """
    import rich.table

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
