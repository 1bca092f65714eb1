"""Tables of adaptive reports, one or several side by side, as eval and tune print them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgeexit.formats import format_fraction, format_macs, format_threshold

if TYPE_CHECKING:
    from rich.table import Table

    from edgeexit.evaluation import AdaptiveReport, PathCosts
    from edgeexit.statistics import Interval
    from edgeexit.thresholds.tuning import Judgement


def exit_table(
    reports: Mapping[str, AdaptiveReport], title: str, costs: PathCosts | None = None
) -> Table:
    """Return one row per exit; the reports, by split, are of one network at one setting.

    ``costs`` adds what each path costs besides its MACs.
    """
    from rich.table import Table

    table = Table(title=title)
    table.add_column("exit")
    headings = ["threshold", "f_m", "path\n(Eq. 5)", *([f"path\n({costs.unit})"] if costs else [])]
    for heading in headings:
        table.add_column(heading, justify="right")
    paid = costs.paid(_thresholds(reports)) if costs else {}
    for split in reports:
        for heading in ("\naccuracy", "\nleaving", " accuracy\nof those"):
            table.add_column(f"{split}:{heading}", justify="right")
    for same_exit in zip(*(report.exits for report in reports.values()), strict=True):
        first = same_exit[0]
        cells = [first.name, format_threshold(first.threshold)]
        cells += [format_macs(first.macs), format_macs(first.path_macs)]
        cells += [f"{paid[first.name]:.4g}"] if costs else []
        for exit_ in same_exit:
            cells += [f"{exit_.accuracy:.4f}", f"{exit_.share:.1%}"]
            cells.append(format_fraction(exit_.leaving_accuracy))
        table.add_row(*cells)
    return table


def summary_table(
    reports: Mapping[str, AdaptiveReport], judgements: Mapping[str, Judgement] | None = None
) -> Table:
    """Return one column per report: adaptive accuracy and Eq. 5 beside the backbone alone.

    ``judgements``, by split, add intervals to accuracies, and how much is lost.
    """
    from rich.table import Table

    table = Table()
    table.add_column("")
    for split in reports:
        table.add_column(split, justify="right")
    columns = list(reports.values())
    table.add_row("samples", *(str(report.samples) for report in columns), end_section=True)
    found = [judgements[split].intervals if judgements else None for split in reports]
    table.add_row(
        "adaptive accuracy",
        *(
            _with_interval(report.adaptive_accuracy, near.adaptive_accuracy if near else None)
            for report, near in zip(columns, found, strict=True)
        ),
    )
    table.add_row(
        "accuracy of the backbone alone",
        *(
            _with_interval(report.backbone_accuracy, near.backbone_accuracy if near else None)
            for report, near in zip(columns, found, strict=True)
        ),
    )
    if judgements:
        drops = [report.backbone_accuracy - report.adaptive_accuracy for report in columns]
        table.add_row(
            "drop",
            *(
                _with_interval(drop, near.accuracy_drop if near else None)
                for drop, near in zip(drops, found, strict=True)
            ),
        )
    table.add_row(
        "ratio", *(format_fraction(report.accuracy_ratio) for report in columns), end_section=True
    )
    table.add_row("average MACs (Eq. 5)", *(format_macs(report.average_macs) for report in columns))
    table.add_row(
        "MACs of the backbone alone", *(format_macs(report.baseline_macs) for report in columns)
    )
    table.add_row("ratio", *(f"{report.macs_ratio:.4f}" for report in columns))
    return table


def _thresholds(reports: Mapping[str, AdaptiveReport]) -> dict[str, float]:
    report = next(iter(reports.values()))
    return {exit_.name: exit_.threshold for exit_ in report.exits if exit_.threshold is not None}


def _with_interval(value: float, interval: Interval | None) -> str:
    return f"{value:.4f}" if interval is None else f"{interval:.4f}"
