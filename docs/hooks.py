"""MkDocs hooks: insert the help of the commands, and show roles in docstrings as plain code."""

from __future__ import annotations

import re
from typing import Any

import click

from edgeexit.cli import main

COMMANDS = "<!-- commands -->"
WIDTH = 100


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace COMMANDS with every command's help."""
    return markdown.replace(COMMANDS, _commands()) if COMMANDS in markdown else markdown


def on_page_content(html: str, **_: Any) -> str:
    """Show :func:`name` in a docstring as name."""
    return re.sub(r":[a-z]+:(?=<code)", "", html)


def _commands() -> str:
    group = click.Context(main, info_name="edgeexit", max_content_width=WIDTH)
    parts = []
    for name in main.list_commands(group):
        command = main.get_command(group, name)
        assert command is not None
        context = click.Context(command, group, name, terminal_width=WIDTH, max_content_width=WIDTH)
        parts.append(f"## edgeexit {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)
