"""Terminal output of ``edgeexit bench``: one report, or the comparison of two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeexit.cli.terminal import print_table

if TYPE_CHECKING:
    from rich.console import Console

    from edgeexit.bench import BenchReport
    from edgeexit.bench.results.comparison import ReportComparison


def print_summary(report: BenchReport, out: Console) -> None:
    """Print a benchmark's summary: the verdict, the paths, the advice, and the reasons."""
    from edgeexit.bench.render.advice import advice_text, no_advice_text
    from edgeexit.bench.render.backends import backends_table
    from edgeexit.bench.render.explanation import reasons_text
    from edgeexit.bench.render.scenarios import scenario_tables
    from edgeexit.bench.render.tables import summary_table

    _print_verdict(report, out)
    print_table(summary_table(report), out)
    if report.backends is not None:
        print_table(backends_table(report, report.backends), out)
    for table in scenario_tables(report.scenarios) if report.scenarios is not None else ():
        print_table(table, out)
    if report.advice is not None:
        for sentence in advice_text(report.advice, short=True):
            out.print(sentence, soft_wrap=True)  # a command in it can be copied
    elif report.no_advice is not None:
        out.print(no_advice_text(report.no_advice))
    if report.explanation is not None:
        out.print(f"Why: {reasons_text(report.explanation)}")
    out.print("Every table and reason: --details, or --html for a page with pictures.")


def print_details(report: BenchReport, out: Console) -> None:
    """Print all of a benchmark's tables and sentences, the verdict first."""
    from edgeexit.bench.render.report import sections

    _print_verdict(report, out)
    for section in sections(report):
        for table in section.tables:
            print_table(table, out)
        for words in (*section.words, *section.details):
            out.print(words, soft_wrap=True)  # a command in it can be copied
        if section.missing is not None:
            out.print(f"{section.title}: {section.missing}", soft_wrap=True)


def print_comparison(comparison: ReportComparison, details: bool, out: Console) -> None:
    """Print the verdict on two reports, the differences of their setups, then the figures."""
    from edgeexit.bench.render.comparison import (
        comparison_verdict,
        differences_text,
        figures_table,
    )

    out.print(comparison_verdict(comparison))
    for line in (*comparison.warnings, *differences_text(comparison)):
        out.print(line)
    print_table(figures_table(comparison, ratios=details), out)
    for sentence in comparison.left_out:
        out.print(f"Left out: {sentence}")
    if not details:
        out.print("Ratios to the plain backbone: --details.")


def _print_verdict(report: BenchReport, out: Console) -> None:
    """Print the verdict, each statement on its own line, and the guarantee."""
    from edgeexit.bench.render.verdict import verdict_lines
    from edgeexit.formats import format_guarantee

    for line in verdict_lines(report):
        out.print(line)
    bundle = report.bundle
    if bundle.guarantee is not None:
        out.print(format_guarantee(bundle.guarantee, bundle.thresholds))
