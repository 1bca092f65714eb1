"""Tables of ``edgeexit bench``: parts, paths, the mixture, and what it was compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeexit.cli.common import console, format_macs
from edgeexit.cli.tables import format_threshold

if TYPE_CHECKING:
    from edgeexit_runtime.timing import LatencySummary
    from rich.table import Table

    from edgeexit.bench import BenchReport, Mixture
    from edgeexit.bench.report import WarmUp
    from edgeexit.statistics.percentiles import Percentile

__all__ = [
    "accuracy",
    "latency_cells",
    "mixture_table",
    "new_table",
    "parts_table",
    "paths_table",
    "percentile_cells",
    "percentile_note",
    "plain_table",
    "runs_table",
    "warm_up_line",
]

PLAIN = "plain\nbackbone"
WIDE = 100  # columns; where there are fewer, numbers stand closer rather than cut off
LATENCIES = ("p50", "p90", "p95", "p99", "mean")


def warm_up_line(warm_up: WarmUp) -> str:
    """Say how long it took until the device was at its speed."""
    rounds = f"{warm_up.rounds} round{'s' * (warm_up.rounds != 1)}"
    if warm_up.stable:
        return f"warm-up: stable after {warm_up.seconds:.1f} s, {rounds}"
    return f"warm-up: not stable within {warm_up.seconds:.1f} s, {rounds}"


def parts_table(report: BenchReport) -> Table:
    """Return one row per stage and branch."""
    table = new_table("stages and branches alone, ms", "part", "", "MACs")
    for part in report.parts:
        cells = (part.name, part.kind, format_macs(part.macs))
        table.add_row(*cells, *latency_cells(part.latency))
    note = _few_note([part.latency.count for part in report.parts], "calls")
    table.caption = note.lstrip(". ") or None
    return table


def paths_table(report: BenchReport) -> Table:
    """Return one row per exit path, the plain backbone first."""
    table = new_table("exit paths, everyone made to leave there, ms", "path", "MACs", "Eq. 5")
    table.add_column("measured", justify="right")
    for path in (report.baseline, *report.paths):
        name = PLAIN if path is report.baseline else path.name
        cells = (name, format_macs(path.path_macs), f"{path.macs_ratio:.3f}")
        table.add_row(
            *cells,
            *latency_cells(path.latency),
            f"{path.ratio:.3f}",
            end_section=path is report.baseline,
        )
    table.caption = (
        "Eq. 5 and measured: ratio to the plain backbone, of MACs and of medians"
    ) + _few_note([report.baseline.latency.count], "calls")
    return table


def mixture_table(mixture: Mixture) -> Table:
    """Return one row per exit, and the chain as a whole beside the plain backbone."""
    title = f"mixture: {mixture.samples} images of {mixture.source} at the bundle's thresholds, ms"
    table = new_table(title, "leaving at", "threshold", "share", "accuracy")
    images = [round(exit_.share * mixture.samples) for exit_ in mixture.exits]
    for exit_, count in zip(mixture.exits, images, strict=True):
        cells = (exit_.name, format_threshold(exit_.threshold), f"{exit_.share:.1%}")
        table.add_row(*cells, accuracy(exit_.accuracy), *latency_cells(exit_.latency, count))
    table.add_section()
    ours = mixture.early_exit
    for name, run in (("all", ours), (PLAIN, mixture.baseline)):
        latency = latency_cells(run.latency, mixture.samples)
        table.add_row(name, "", "", accuracy(run.accuracy), *latency)
    table.caption = (
        f"ratio of means to the plain backbone on the same images: measured "
        f"{ours.ratio.value:.3f}, Eq. 5 {mixture.macs_ratio:.3f}"
    ) + _few_note([count for count in images if count], "different images")
    return table


def runs_table(mixture: Mixture) -> Table:
    """Return one row per candidate of the mixture, the baseline and early exit first."""
    table = plain_table(
        f"the same {mixture.samples} images, every alternative in turn, ms",
        "",
        ("accuracy", "mean", "ratio", "p50", "p90", "p99"),
    )
    for run in mixture.runs:
        table.add_row(
            run.label,
            accuracy(run.accuracy),
            f"{run.latency.mean_ms:.3f}",
            f"{run.ratio.value:.3f}",
            *percentile_cells(run.percentiles),
            end_section=run is mixture.early_exit,
        )
    note = percentile_note(mixture.early_exit.percentiles)
    table.caption = f"ratio of means to the plain backbone. {note}"
    return table


def percentile_cells(found: Sequence[Percentile]) -> list[str]:
    """Return each percentile with its interval in a second line, ``-`` where there is none."""
    cells = []
    for it in found:
        ends = [None, None] if it.value_ms is None else [it.low_ms, it.high_ms]
        value = "-" if it.value_ms is None else _digits(it.value_ms)
        if ends != [None, None]:
            low, high = ("" if end is None else _digits(end) for end in ends)
            value += f"\n{low}..{high}"
        cells.append(value)
    return cells


def _digits(milliseconds: float) -> str:
    """Return milliseconds to the microsecond, and no more than five digits of them."""
    return f"{milliseconds:.{3 if milliseconds < 100 else 1}f}"


def percentile_note(found: Sequence[Percentile], what: str = "images") -> str:
    """Say what the second lines are, and why percentiles or ends of intervals are missing.

    Args:
        found: of one candidate; the counts are the same for all.
        what: was counted.
    """
    from edgeexit.statistics import CONFIDENCE_LEVEL
    from edgeexit.statistics.percentiles import count_for_interval, count_for_point

    notes = []
    if any(it.low_ms is not None or it.high_ms is not None for it in found):
        notes.append(f"Second lines: {CONFIDENCE_LEVEL:.0%} intervals.")
    for it in found:
        few = f"p{it.percent:g}"
        if it.count < count_for_point(it.percent):
            notes.append(
                f"{few} needs {count_for_point(it.percent)} different {what}, there are {it.count}."
            )
        elif it.low_ms is not None and it.high_ms is None:
            notes.append(
                f"{few}'s upper end needs {count_for_interval(it.percent)} different {what}, there "
                f"are {it.count}."
            )
    return " ".join(notes)


def plain_table(title: str, first: str, headings: Sequence[str]) -> Table:
    """Return a table with these headings, its numbers on the right and never broken in two."""
    from rich.table import Table

    narrow = console().width < WIDE
    table = Table(title=title, padding=(0, 0 if narrow else 1))
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def new_table(title: str, first: str, *headings: str) -> Table:
    """Return a table of latencies: these headings, and one for each of :data:`LATENCIES`."""
    return plain_table(title, first, (*headings, *LATENCIES, "calls"))


def latency_cells(latency: LatencySummary | None, different: int | None = None) -> list[str]:
    """Return the figures of timed calls, ``-`` for percentiles that there are too few for.

    Args:
        latency: None where nothing was timed.
        different: how many different images were; None where it was one, for whose calls alone the
            percentiles are meant.
    """
    from edgeexit.statistics.percentiles import count_for_point

    if latency is None:
        return ["-"] * (len(LATENCIES) + 1)
    count = latency.count if different is None else different
    cells = []
    for name in LATENCIES:
        enough = name == "mean" or count >= count_for_point(float(name[1:]))
        cells.append(f"{getattr(latency, f'{name}_ms'):.3f}" if enough else "-")
    return [*cells, str(latency.count)]


def accuracy(fraction: float | None) -> str:
    """Return a fraction, ``-`` where it is not known."""
    return "-" if fraction is None else f"{fraction:.4f}"


def _few_note(counts: Sequence[int], what: str) -> str:
    """Say how many of ``what`` the percentiles need that some of ``counts`` are too small for."""
    from edgeexit.statistics.percentiles import count_for_point

    needed = {name: count_for_point(float(name[1:])) for name in LATENCIES if name != "mean"}
    missing = [f"{name} needs {least}" for name, least in needed.items() if min(counts) < least]
    return f". Where there is '-': {', '.join(missing)} {what} or more" if missing else ""
