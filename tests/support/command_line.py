"""The command line, run in this process."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from edgeexit.cli import main

SCREEN = 25
"""Lines that the results of a command may take, about as many as a terminal shows."""


class Command:
    """The command line, or one command with its first words, run in this process."""

    def __init__(self, *words: object, **options: Any) -> None:
        self.words = words
        self.options = options  # of click's ``invoke``

    def __call__(self, *arguments: object) -> Result:
        """Run it with these further arguments."""
        words = [*map(str, (*self.words, *arguments))]
        return CliRunner().invoke(main, words, prog_name="edgeexit", **self.options)

    def ok(self, *arguments: object) -> Result:
        """Run it to its end."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return result

    def json(self, *arguments: object) -> Any:
        """Return what it prints as JSON."""
        return json.loads(self.ok(*arguments, "--json").stdout)

    def refused(self, *arguments: object, code: int = 1) -> str:
        """Return the one line that it says instead of a result."""
        result = self(*arguments)
        assert result.exit_code == code, result.output
        return message(result)


invoke = Command()


def message(result: Result) -> str:
    """Return the error as one line, after checking that it is one and that nothing was printed."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()[-1]


def one_line(output: str) -> str:
    """Return what was printed without its line breaks, which depend on the width."""
    return " ".join(output.split())


def table_rows(output: str) -> list[list[str]]:
    """Return the cells of all rows of printed tables, without their headings."""
    rows = ([cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines())
    return [row for row in rows if row]
