"""``edgeexit bench``: a whole report, and two beside each other, as the terminal shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from edgeexit.cli.output.table import print_table

if TYPE_CHECKING:
    from rich.console import Console

    from edgeexit.bench import BenchReport
    from edgeexit.bench.compare.compare import ReportComparison
    from edgeexit.bench.render.table import Table
    from edgeexit.bench.results.advice import Advice
    from edgeexit.bench.results.explanation import Explanation


def print_summary(report: BenchReport, out: Console) -> None:
    """Print what a benchmark comes to: the verdict, the paths, the advice, and why."""
    from edgeexit.bench.render.advice import advice_summary
    from edgeexit.bench.render.backends import backends_table
    from edgeexit.bench.render.explanation import reasons_text
    from edgeexit.bench.render.scenarios import scenario_tables
    from edgeexit.bench.render.tables import summary_table

    _print_verdict(report, out)
    _print_guarantee(report, out)
    _print(summary_table(report), out)
    if report.backends is not None:
        _print(backends_table(report, report.backends), out)
    for block in scenario_tables(report.scenarios) if report.scenarios is not None else ():
        _print(block, out)
    _print_advice(report, advice_summary, out)
    if report.explanation is not None:
        out.print(f"Why: {reasons_text(report.explanation)}")
    out.print("Every table and reason: --details, or --html for a page with pictures.")


def print_details(report: BenchReport, out: Console) -> None:
    """Print all of a benchmark's tables and sentences, the verdict first."""
    from edgeexit.bench.render.advice import advice_table, advice_text

    _print_verdict(report, out)
    _print_guarantee(report, out)
    for block in _measured(report):
        _print(block, out)
    if report.advice is not None:
        _print(advice_table(report.advice), out)
    _print_advice(report, advice_text, out)


def print_comparison(comparison: ReportComparison, details: bool, out: Console) -> None:
    """Print what two reports come to, what differs between their set-ups, then the figures."""
    from edgeexit.bench.render.comparison import (
        comparison_verdict,
        differences_text,
        figures_table,
    )

    out.print(comparison_verdict(comparison))
    for line in (*comparison.warnings, *differences_text(comparison)):
        out.print(line)
    _print(figures_table(comparison, ratios=details), out)
    for sentence in comparison.left_out:
        out.print(f"Left out: {sentence}")
    if not details:
        out.print("Ratios to the plain backbone: --details.")


def _print_verdict(report: BenchReport, out: Console) -> None:
    """Print each thing that is said in lines of its own."""
    from edgeexit.bench.render.verdict import verdict_lines

    for said in verdict_lines(report):
        out.print(said)


def _print(block: Table | str, out: Console) -> None:
    if isinstance(block, str):
        out.print(block)
    else:
        print_table(block, out)


def _measured(report: BenchReport) -> Iterator[Table | str]:
    from edgeexit.bench.render.backends import backends_table
    from edgeexit.bench.render.scenarios import scenario_tables
    from edgeexit.bench.render.setup import clock_lines, setup_text, temperature_lines, warm_up_text
    from edgeexit.bench.render.tables import (
        energy_table,
        mixture_table,
        parts_table,
        paths_table,
        runs_table,
    )

    yield setup_text(report)
    yield warm_up_text(report.warm_up)
    yield parts_table(report)
    yield paths_table(report)
    if report.backends is not None:
        yield backends_table(report, report.backends)
    if report.mixture is not None:
        yield mixture_table(report.mixture)
        yield runs_table(report.mixture)
    if report.scenarios is not None:
        yield from scenario_tables(report.scenarios)
    if report.energy.runs:
        yield energy_table(report.energy)
    yield from report.energy.notes
    yield from clock_lines(report.state)
    yield from temperature_lines(report.state)
    if report.explanation is not None:
        yield from _explained(report.explanation, len(report.parts))


def _explained(explanation: Explanation, parts: int) -> Iterator[Table | str]:
    from edgeexit.bench.render.explanation import (
        breakdown_table,
        breakdown_text,
        faster_text,
        model_text,
        peaks_text,
        roofline_table,
    )

    if explanation.parts:
        yield roofline_table(explanation)
    yield peaks_text(explanation)
    if explanation.breakdowns:
        yield breakdown_table(explanation)
        for breakdown in explanation.breakdowns:
            yield breakdown_text(breakdown, explanation)
        faster = faster_text(explanation)
        if faster is not None:
            yield faster
    yield from model_text(explanation.model, parts)


def _print_guarantee(report: BenchReport, out: Console) -> None:
    from edgeexit.formats import format_guarantee

    bundle = report.bundle
    if bundle.guarantee is not None:
        out.print(format_guarantee(bundle.guarantee, bundle.thresholds))


def _print_advice(
    report: BenchReport, in_words: Callable[[Advice], list[str]], out: Console
) -> None:
    if report.advice is not None:
        for sentence in in_words(report.advice):
            out.print(sentence, soft_wrap=True)  # a command in it can be copied
    elif report.no_advice is not None:
        out.print(f"{report.no_advice[0].upper()}{report.no_advice[1:]}.")
