"""The command line, run in this process."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from edgeexit.cli import main

SCREEN = 25
"""Lines that the results of a command may take, about as many as a terminal shows."""


def invoke(*arguments: object, **options: Any) -> Result:
    """Run ``edgeexit`` with these arguments; the options are those of click's ``invoke``."""
    return CliRunner().invoke(main, [*map(str, arguments)], prog_name="edgeexit", **options)


def invoke_json(*arguments: object) -> Any:
    """Return what ``edgeexit`` prints as JSON."""
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


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
