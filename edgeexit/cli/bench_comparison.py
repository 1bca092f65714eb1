"""``edgeexit bench --compare``: two saved reports side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from edgeexit.cli.common import console, status_console

if TYPE_CHECKING:
    from rich.table import Table

    from edgeexit.bench.compared_figures import ComparedFigure
    from edgeexit.bench.report_comparison import ReportComparison

__all__ = ["check_alone", "compare_files"]


def check_alone(ctx: click.Context, option: str, allowed: tuple[str, ...]) -> None:
    """Raise UsageError where an option was given that does not go with ``option``.

    Args:
        ctx: of the command.
        option: such as ``--compare``.
        allowed: names of the parameters that do, ``option``'s own among them.
    """
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if name in allowed or ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        raise click.UsageError(
            f"{parameter.opts[0]} does not go with {option}, which measures nothing"
        )


def compare_files(first: Path, second: Path, json_file: Path | None) -> None:
    """Print how two saved reports differ, and write it as JSON where a file is named."""
    from edgeexit_runtime.schema import encode

    from edgeexit.bench import load_report
    from edgeexit.bench.report_comparison import compare_reports, comparison_verdict
    from edgeexit.files import write_json

    comparison = compare_reports(load_report(first), load_report(second), (str(first), str(second)))
    print_comparison(comparison)
    if json_file is not None:
        value = {"verdict": comparison_verdict(comparison), **encode(comparison)}
        write_json(json_file, value)
        status_console().print(f"wrote {json_file}", soft_wrap=True)


def print_comparison(comparison: ReportComparison) -> None:
    """Print what differs between the set-ups, then the figures, then what they come to."""
    from edgeexit.bench.report_comparison import comparison_verdict

    out = console()
    if comparison.differences:
        out.print(_setup_table(comparison))
    else:
        out.print("The set-ups are the same in all that the reports hold.")
    for sentence in comparison.warnings:
        out.print(sentence)
    out.print(_figures_table(comparison))
    for sentence in comparison.left_out:
        out.print(f"Left out: {sentence}")
    out.print(comparison_verdict(comparison))


def _setup_table(comparison: ReportComparison) -> Table:
    from rich.table import Table

    table = Table(title="what differs between the set-ups")
    for heading in ("", comparison.first, comparison.second):
        table.add_column(heading, overflow="fold")
    for difference in comparison.differences:
        table.add_row(difference.what, difference.first, difference.second)
    return table


def _figures_table(comparison: ReportComparison) -> Table:
    from rich.table import Table

    table = Table(title=f"{comparison.second} over {comparison.first}")
    for heading in ("", "figure"):
        table.add_column(heading)
    for heading in ("first", "second", "ratio", "95% interval", "noise"):
        table.add_column(heading, justify="right")
    table.add_column("beyond it")
    section = ""
    for figure in comparison.figures:
        if figure.section != section:
            table.add_section()
            table.add_row(figure.section, style="bold")
            section = figure.section
        table.add_row(*_cells(figure))
    table.caption = (
        "a difference counts where the whole interval is farther from 1 than the noise: what the "
        "plain backbone, and the path itself, drifted by or was held up by within either run, 2% "
        "at least"
    )
    return table


def _cells(figure: ComparedFigure) -> list[str]:
    from edgeexit.bench.compared_figures import TO_PLAIN

    interval = "-"
    if figure.interval is not None:
        interval = f"{figure.interval.low:.3f} to {figure.interval.high:.3f}"
    beyond = "not known"
    if figure.differs is not None:
        beyond = ("better" if figure.second_is_better else "worse") if figure.differs else "no"
    return [
        f"  {figure.name}",
        TO_PLAIN if figure.unit == TO_PLAIN else f"{figure.statistic}, {figure.unit}",
        f"{figure.first:.4g}",
        f"{figure.second:.4g}",
        f"{figure.ratio:.3f}",
        interval,
        f"{figure.noise:.0%}",
        beyond,
    ]
