"""Tables and sentences of ``edgeexit bench``: why Eq. 5 and the clock differ, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeexit.cli.common import format_macs
from edgeexit.cli.tables import format_threshold

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from edgeexit.bench.advice import Advice
    from edgeexit.bench.explanation import Explanation, Term
    from edgeexit.bench.report import BenchReport

__all__ = ["advice_table", "breakdown_table", "print_explanation", "roofline_table"]

HEADINGS = ("bytes", "utilization", "gate,\ncopies", "session", "slow\ncalls")


def print_explanation(out: Console, report: BenchReport) -> None:
    """Print a report's explanation and advice, where it has them."""
    from edgeexit.bench.render.advice import advice_text

    if report.explanation is not None:
        _print_explanation(out, report.explanation, len(report.parts))
    if report.advice is not None:
        out.print(advice_table(report.advice))
        for sentence in advice_text(report.advice):
            out.print(sentence, soft_wrap=True)
    elif report.no_advice is not None:
        out.print(f"{report.no_advice[0].upper()}{report.no_advice[1:]}.")


def _print_explanation(out: Console, explanation: Explanation, parts: int) -> None:
    from edgeexit.bench.explanation_words import (
        breakdown_words,
        faster_words,
        model_words,
        peaks_words,
    )

    if explanation.parts:
        out.print(roofline_table(explanation))
    out.print(peaks_words(explanation))
    if explanation.breakdowns:
        out.print(breakdown_table(explanation))
        for breakdown in explanation.breakdowns:
            out.print(breakdown_words(breakdown, explanation))
        faster = faster_words(explanation)
        if faster is not None:
            out.print(faster)
    for sentence in model_words(explanation.model, parts):
        out.print(sentence)


def roofline_table(explanation: Explanation) -> Table:
    """Return what each part moves, computes and takes."""
    from rich.table import Table

    table = Table(title="stages and branches against the machine's peak, ms", padding=(0, 0))
    table.add_column("part")
    headings = (
        *("MACs", "weights\nMB", "activations\nMB"),
        *("MACs\nat peak", "roofline", "measured", "roofline /\nmeasured"),
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for part in explanation.parts:
        table.add_row(
            "plain backbone" if part.kind == "plain" else part.name,
            format_macs(part.macs),
            f"{part.weight_bytes / 1e6:.3g}",
            f"{part.activation_bytes / 1e6:.3g}",
            f"{part.compute_ms:.3f}",
            f"{part.roofline_ms:.3f}",
            f"{part.measured_ms:.3f}",
            f"{part.roofline_ms / part.measured_ms:.2f}",
            end_section=part is explanation.parts[-2],
        )
    table.caption = (
        "roofline: each operator's MACs at the peak, or its bytes if these take longer\n"
        "measured: a quick call, the 10th percentile"
    )
    return table


def breakdown_table(explanation: Explanation) -> Table:
    """Return one row per path: what lies between Eq. 5's ratio and the measured one."""
    from rich.table import Table

    table = Table(title="from Eq. 5's ratio to the measured one", padding=(0, 0))
    table.add_column("path")
    for heading in ("Eq. 5", *HEADINGS, "measured"):
        table.add_column(heading, justify="right")
    for breakdown in explanation.breakdowns:
        table.add_row(
            breakdown.name,
            f"{breakdown.macs_ratio:.3f}",
            *map(_term, breakdown.terms),
            f"{breakdown.measured_ratio:.3f}",
        )
    table.caption = "each row adds up; in brackets: within the noise of these rounds"
    return table


def _term(term: Term) -> str:
    shown = f"{term.ratio:+.3f}"
    return f"({shown})" if term.is_noise else shown


def advice_table(advice: Advice) -> Table:
    """Return one column per choice of thresholds."""
    from rich.table import Table

    table = Table(
        title=f"thresholds chosen on {advice.validation_images} images for an accuracy of "
        f"{advice.target_accuracy:.4f}, judged on the other {advice.test_images}",
        padding=(0, 0),
    )
    table.add_column("")
    names = [choice.name for choice in advice.choices]
    for name in (*names, "plain\nbackbone"):
        table.add_column(name.replace(" ", "\n", 1), justify="right")
    for exit_ in advice.now.thresholds:
        values = [format_threshold(choice.thresholds[exit_]) for choice in advice.choices]
        table.add_row(f"threshold of {exit_}", *values, "")
    table.add_section()
    table.add_row(
        "accuracy",
        *(f"{choice.accuracy.value:.4f}" for choice in advice.choices),
        f"{advice.baseline_accuracy:.4f}",
    )
    table.add_row(
        "  from\n  to",
        *(f"{choice.accuracy.low:.4f}\n{choice.accuracy.high:.4f}" for choice in advice.choices),
        "",
    )
    table.add_row(
        "average ms",
        *(f"{choice.average_ms.value:.3f}" for choice in advice.choices),
        f"{advice.baseline_ms:.3f}",
    )
    table.add_row("p99 ms", *(_ms(choice.p99_ms) for choice in advice.choices), "")
    table.add_row("Eq. 5", *(f"{choice.macs_ratio:.3f}" for choice in advice.choices), "1.000")
    return table


def _ms(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.3f}"
