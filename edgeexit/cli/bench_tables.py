"""Tables of ``edgeexit bench``: parts, paths and the mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeexit.cli.common import console, format_macs
from edgeexit.cli.tables import format_threshold

if TYPE_CHECKING:
    from edgeexit_runtime.timing import LatencySummary
    from rich.table import Table

    from edgeexit.bench import BenchReport, Mixture

__all__ = ["accuracy", "latency_cells", "mixture_table", "new_table", "parts_table", "paths_table"]

PLAIN = "plain\nbackbone"
WIDE = 100  # columns; where there are fewer, numbers stand closer rather than cut off
LATENCIES = ("p50", "p90", "p95", "p99", "mean")


def parts_table(report: BenchReport) -> Table:
    table = new_table("stages and branches alone, ms", "part", "", "MACs")
    for part in report.parts:
        cells = (part.name, part.kind, format_macs(part.macs))
        table.add_row(*cells, *latency_cells(part.latency))
    return table


def paths_table(report: BenchReport) -> Table:
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
    table.caption = "Eq. 5 and measured: ratio to the plain backbone, of MACs and of medians"
    return table


def mixture_table(mixture: Mixture) -> Table:
    title = f"mixture: {mixture.samples} images of {mixture.source} at the bundle's thresholds, ms"
    table = new_table(title, "leaving at", "threshold", "share", "accuracy")
    for exit_ in mixture.exits:
        cells = (exit_.name, format_threshold(exit_.threshold), f"{exit_.share:.1%}")
        table.add_row(*cells, accuracy(exit_.accuracy), *latency_cells(exit_.latency))
    table.add_section()
    table.add_row("all", "", "", accuracy(mixture.accuracy), *latency_cells(mixture.latency))
    table.add_row(
        PLAIN,
        "",
        "",
        accuracy(mixture.baseline_accuracy),
        *latency_cells(mixture.baseline_latency),
    )
    table.caption = (
        f"ratio of means to the plain backbone on the same images: measured {mixture.ratio:.3f}, "
        f"Eq. 5 {mixture.macs_ratio:.3f}"
    )
    return table


def new_table(title: str, first: str, *headings: str) -> Table:
    from rich.table import Table

    narrow = console().width < WIDE
    table = Table(title=title, padding=(0, 0 if narrow else 1))
    table.add_column(first)
    for heading in (*headings, *LATENCIES, "calls"):
        table.add_column(heading, justify="right")
    return table


def latency_cells(latency: LatencySummary | None) -> list[str]:
    if latency is None:
        return ["-"] * (len(LATENCIES) + 1)
    values = [getattr(latency, f"{name}_ms") for name in LATENCIES]
    return [*(f"{value:.3f}" for value in values), str(latency.count)]


def accuracy(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction:.4f}"
