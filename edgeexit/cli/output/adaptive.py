"""What early exit gives on a number of images, as eval and tune print it: a sentence, a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeexit.formats import format_fraction, format_macs, format_threshold

if TYPE_CHECKING:
    from rich.table import Table

    from edgeexit.evaluation import PathCosts
    from edgeexit.statistics import Interval
    from edgeexit.thresholds.tuning import Judgement


def judgement_text(
    judgement: Judgement, costs: PathCosts, images: str, *, labelled: bool = True
) -> str:
    """Say in a sentence what thresholds give.

    Args:
        judgement: of the thresholds.
        costs: what its average cost was counted in.
        images: what it was judged on, such as ``test images``.
        labelled: whether true classes are known, not the last exit's answers in their place.
    """
    report = judgement.report
    price = f"{report.macs_ratio:.3f} of the backbone's MACs"
    if costs.baseline is not None:
        ratio = judgement.average_cost / costs.in_unit(costs.baseline)
        price = f"{ratio:.3f} of the backbone's {costs.unit}"
    found = f"On {report.samples} {images} early exit answers {report.adaptive_accuracy:.1%}"
    if not labelled:
        return f"{found} as the last exit does, at {price}."
    return (
        f"{found} right at {price}; the backbone alone {report.backbone_accuracy:.1%}, a drop of "
        f"{judgement.intervals.accuracy_drop:.4f}."
    )


def judgement_table(judgement: Judgement, costs: PathCosts, title: str) -> Table:
    """Return one row per exit, then early exit as a whole and the backbone alone.

    Paths are priced by ``costs``; where these are not MACs, the ratio in MACs stands beside.
    """
    from rich.table import Table

    report, intervals = judgement.report, judgement.intervals
    table = Table(title=title, caption="ratio: to the plain backbone; second lines: 95% intervals")
    table.add_column("")
    in_macs = [] if costs.unit == "MACs" else ["MACs\nratio"]
    for heading in (
        *("threshold", costs.unit, "ratio", *in_macs),
        *("accuracy", "leave\nhere", "accuracy\nof those"),
    ):
        table.add_column(heading, justify="right", no_wrap=True)

    baseline = None if costs.baseline is None else costs.in_unit(costs.baseline)

    def prices(cost: float | None, macs: float) -> list[str]:
        ratio = "-" if cost is None or baseline is None else f"{cost / baseline:.3f}"
        macs_ratio = [f"{macs / report.baseline_macs:.3f}"] * len(in_macs)
        return [_cost(cost, costs.unit), ratio, *macs_ratio]

    given = {exit_.name: exit_.threshold for exit_ in report.exits}
    paid = costs.paid({name: value for name, value in given.items() if value is not None})
    for exit_ in report.exits:
        table.add_row(
            exit_.name,
            format_threshold(exit_.threshold),
            *prices(paid[exit_.name], exit_.path_macs),
            f"{exit_.accuracy:.4f}",
            f"{exit_.share:.1%}",
            format_fraction(exit_.leaving_accuracy),
        )
    table.add_section()
    average, *ratios = prices(judgement.average_cost, report.average_macs)
    near = intervals.average_cost
    table.add_row(
        "early exit",
        "",
        f"{average}\n{_cost(near.low, costs.unit)}..{_cost(near.high, costs.unit)}",
        *ratios,
        _accuracy(intervals.adaptive_accuracy),
    )
    table.add_row(
        "plain\nbackbone",
        "",
        *prices(baseline, report.baseline_macs),
        _accuracy(intervals.backbone_accuracy),
    )
    return table


def _cost(cost: float | None, unit: str) -> str:
    if cost is None:
        return "-"
    return format_macs(cost) if unit == "MACs" else f"{cost:.4g}"


def _accuracy(near: Interval) -> str:
    return f"{near.value:.4f}\n{near.low:.4f}..{near.high:.4f}"
