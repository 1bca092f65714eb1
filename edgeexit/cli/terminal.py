"""Terminal output of all commands: lines, tables, JSON, and progress."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from edgeexit_runtime.bundle.schema import encode
from edgeexit_runtime.errors import MESSAGE_CHARACTERS, printable

from edgeexit.formats import Table

if TYPE_CHECKING:
    from edgeexit_runtime.progress import Progress
    from rich.console import Console
    from rich.progress import Progress as Bar

MORE_THAN_ANY = 10_000  # columns, more than any terminal has


def console() -> Console:
    """Return the console for results, on stdout. A pipe gets lines of up to 120 columns."""
    from rich.console import Console

    width = shutil.get_terminal_size((120, 0)).columns
    # a table in a narrower terminal would lose digits
    return Console(width=max(100, width), highlight=False, markup=False)


def status_console() -> Console:
    """Return the console for progress and remarks, on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False)


def say(text: str) -> None:
    """Print a line of results on stdout, not wrapped, so that a command or path can be copied."""
    console().print(text, soft_wrap=True)


def remark(text: str) -> None:
    """Print a line about the work on stderr."""
    status_console().print(text, soft_wrap=True)


def progress_bar() -> Bar:
    """Return a progress bar on stderr, which disappears at the end.

    It is disabled if stderr is not a terminal: a log file would get only empty lines.
    """
    from rich.progress import Progress

    console = status_console()
    return Progress(console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def shown_progress(task: str) -> Iterator[Progress]:
    """Yield a progress callback that updates a bar on stderr."""
    with progress_bar() as bar:
        number = bar.add_task(task, total=1.0)
        yield lambda step, done: bar.update(number, description=step, completed=done)


def print_json(value: Any) -> None:
    """Print ``value``, which may contain dataclasses, as JSON on stdout."""
    click.echo(json.dumps(encode(value), indent=2))


def print_notes(notes: Iterable[str]) -> None:
    """Print lines about images on stderr, with unprintable characters of names escaped."""
    for note in notes:
        remark(printable(note, MESSAGE_CHARACTERS))


def print_table(table: Table, out: Console | None = None) -> None:
    """Print a table; if it is wider than the terminal, without padding between columns.

    Numbers are never wrapped.

    Args:
        out: the console; stdout by default.
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


def markdown(table: Table) -> str:
    """Return a table's columns and rows in Markdown."""
    headings = [column.heading for column in table.columns]
    rows = (row for rows in table.groups for row in rows)
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [headings, ["---"] * len(headings), *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
