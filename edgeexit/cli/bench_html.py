"""``edgeexit bench --html``: the tables that are printed, as tables of the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexit.cli.bench_energy import energy_table
from edgeexit.cli.bench_explanation import advice_table, breakdown_table, roofline_table
from edgeexit.cli.bench_scenarios import scenario_tables
from edgeexit.cli.bench_tables import mixture_table, parts_table, paths_table, runs_table

if TYPE_CHECKING:
    from rich.table import Table

    from edgeexit.bench import BenchReport
    from edgeexit.bench.page import PageTable

__all__ = ["write_html"]


def write_html(report: BenchReport, path: Path) -> None:
    """Write the page of a report: see :func:`edgeexit.bench.page.write_page`."""
    from edgeexit.bench.page import write_page

    write_page(report, _tables(report), path)


def _tables(report: BenchReport) -> dict[str, Sequence[PageTable]]:
    from edgeexit.bench.page import sections as titles

    mixture, explanation = report.mixture, report.explanation
    found: dict[str, list[Table]] = {titles.PATHS: [paths_table(report), parts_table(report)]}
    if mixture is not None:
        found[titles.LATENCY] = [mixture_table(mixture), runs_table(mixture)]
    if explanation is not None and explanation.breakdowns:
        found[titles.WHY] = [breakdown_table(explanation), roofline_table(explanation)]
    if report.advice is not None:
        found[titles.ADVICE] = [advice_table(report.advice)]
    if report.scenarios is not None:
        found[titles.SCENARIOS] = list(scenario_tables(report.scenarios))
    if report.energy.runs:
        found[titles.ENERGY] = [energy_table(report.energy)]
    return {
        **{title: list(map(_page_table, tables)) for title, tables in found.items()},
        titles.SETUP: [_setup_table(report)],
    }


def _page_table(table: Table) -> PageTable:
    """Return a terminal's table as the page's."""
    from edgeexit.bench.page import PageTable

    columns = table.columns
    return PageTable(
        title=str(table.title or ""),
        note=str(table.caption or ""),
        headings=tuple(str(column.header) for column in columns),
        numeric=tuple(column.justify == "right" for column in columns),
        rows=tuple(zip(*([str(cell) for cell in column.cells] for column in columns), strict=True)),
        section_ends=tuple(row.end_section for row in table.rows),
    )


def _setup_table(report: BenchReport) -> PageTable:
    from edgeexit.bench.page import PageTable
    from edgeexit.bench.setups import setup_facts

    rows = tuple(setup_facts(report))
    return PageTable("", "", ("", ""), (False, False), rows, (False,) * len(rows))
