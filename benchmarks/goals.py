"""Common parts of the speed benchmarks: figures with their goals, and the end of a program.

Each program prints a table, writes the same as JSON if ``--json`` names a file, and exits with
status 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from edgeexit_runtime.bundle.schema import encode
from edgeexit_runtime.system.machine import cores_available, cpu_model

from edgeexit.errors import WriteError
from edgeexit.files import write_json

MISSED = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    Attributes:
        name: what was measured.
        measured: its value, in ``unit``.
        unit: of the value and the goal; "" for a ratio.
        goal: the limit; None for a figure that only explains others.
        at_least: the goal is a lower limit rather than an upper one.
        note: details, such as an interval or the number of samples.
    """

    name: str
    measured: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the goal is met; NaN meets none."""
        if self.goal is None:
            return True
        return self.measured >= self.goal if self.at_least else self.measured <= self.goal

    @property
    def verdict(self) -> str:
        """``holds``, ``MISSED``, or "" without a goal."""
        if self.goal is None:
            return ""
        return "holds" if self.holds else "MISSED"


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the common options of these programs; ``doc`` is the module's."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundles", type=Path, help="keep the bundles here between runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    return parser


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as lines of text, one each, under a heading."""
    rows = [("", "measured", "goal", "", "")]
    for figure in figures:
        unit = f" {figure.unit}" if figure.unit else ""
        bound = ">=" if figure.at_least else "<="
        goal = "" if figure.goal is None else f"{bound} {figure.goal:g}{unit}"
        rows.append(
            (figure.name, f"{figure.measured:.4g}{unit}", goal, figure.verdict, figure.note)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  "
        f"{row[3]:{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    )


def finish(title: str, figures: Sequence[Figure], output: Path | None) -> NoReturn:
    """Print the table, write ``output`` if given, and exit: with 1 if a goal is missed."""
    print(f"{title}; {cpu_model()}, {cores_available()} cores")
    print(table(figures))
    if output is not None:
        report = {
            "title": title,
            "cpu": cpu_model(),
            "cores": cores_available(),
            "figures": [{**encode(figure), "verdict": figure.verdict} for figure in figures],
        }
        try:
            write_json(output, report)
        except WriteError as error:
            sys.exit(str(error))
    sys.exit(0 if all(figure.holds for figure in figures) else MISSED)
