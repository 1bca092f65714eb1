"""Results of early exit, as eval and tune print them: a sentence and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeexit_runtime.gate import NEVER

from edgeexit.formats import (
    Table,
    format_bare_cost,
    format_fraction,
    format_threshold,
    named_numbers,
)

if TYPE_CHECKING:
    from edgeexit.evaluation import PathCosts
    from edgeexit.statistics import Interval
    from edgeexit.thresholds.tuning import Judgement


def judgement_text(
    judgement: Judgement, costs: PathCosts, images: str, *, labelled: bool = True
) -> str:
    """Return the results of thresholds as a sentence.

    Args:
        costs: the costs that the average is taken of.
        images: the images of the evaluation, such as ``test images``.
        labelled: whether true classes are known; otherwise the last exit's answers replace them.
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

    Paths are priced by ``costs``; if these are not MACs, a column with the ratio in MACs is added.
    No path ends at an exit that is switched off, whose accuracy needs its branch.
    """
    report, intervals = judgement.report, judgement.intervals
    in_macs = [] if costs.unit == "MACs" else ["MACs\nratio"]
    baseline = None if costs.baseline is None else costs.in_unit(costs.baseline)

    def prices(cost: float | None, macs: float | None) -> list[str]:
        ratio = "-" if cost is None or baseline is None else f"{cost / baseline:.3f}"
        macs_ratio = "-" if macs is None else f"{macs / report.baseline_macs:.3f}"
        return [format_bare_cost(cost, costs.unit), ratio, *[macs_ratio] * len(in_macs)]

    given = {exit_.name: exit_.threshold for exit_ in report.exits}
    paid = costs.paid({name: value for name, value in given.items() if value is not None})
    average, *ratios = prices(judgement.average_cost, report.average_macs)
    near = intervals.average_cost
    low, high = (format_bare_cost(end, costs.unit) for end in (near.low, near.high))
    average += f"\n{low}..{high}"
    return Table.of(
        title,
        named_numbers(
            *("", "threshold", costs.unit, "ratio", *in_macs),
            *("accuracy", "leave\nhere", "accuracy\nof those"),
        ),
        (
            (
                exit_.name,
                format_threshold(exit_.threshold),
                *(
                    prices(None, None)
                    if exit_.threshold == NEVER
                    else prices(paid[exit_.name], exit_.path_macs)
                ),
                f"{exit_.accuracy:.4f}",
                f"{exit_.share:.1%}",
                format_fraction(exit_.leaving_accuracy),
            )
            for exit_ in report.exits
        ),
        [
            ("early exit", "", average, *ratios, _accuracy(intervals.adaptive_accuracy)),
            (
                *("plain\nbackbone", "", *prices(baseline, report.baseline_macs)),
                _accuracy(intervals.backbone_accuracy),
            ),
        ],
        notes=["ratio: to the plain backbone; second lines: 95% intervals"],
    )


def _accuracy(near: Interval) -> str:
    return f"{near.value:.4f}\n{near.low:.4f}..{near.high:.4f}"
