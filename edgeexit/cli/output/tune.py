"""Results of ``edgeexit tune``, in sentences and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeexit.cli.options.limits import describe_limits
from edgeexit.cli.output.adaptive import judgement_table, judgement_text
from edgeexit.cli.terminal import print_table
from edgeexit.formats import (
    Table,
    format_bare_cost,
    format_cost,
    format_guarantee,
    format_threshold,
    numbers,
    texts,
)

if TYPE_CHECKING:
    from rich.console import Console

    from edgeexit.evaluation.calibration import Calibration
    from edgeexit.thresholds.guarantee import Guaranteed
    from edgeexit.thresholds.tuning import Tuning

SHOWN = 12  # settings of the front
APART = 3  # thresholds get columns of their own; more would not fit into a terminal


def print_tuning(out: Console, tuning: Tuning) -> None:
    """Print the choice or else the front, how it was found, the calibration and a warning."""
    if tuning.thresholds is None:
        print_table(_front_table(tuning), out)
    else:
        _print_choice(out, tuning)
    if tuning.subject.calibration is not None:
        out.print(_calibration_text(tuning.subject.calibration))
    better = tuning.better_than_last
    if better:
        best = max(better, key=lambda name: better[name])
        last = next(iter(tuning.last_accuracy.values()))
        out.print(
            f"{best} is better than the last exit ({100 * better[best]:.1f} against "
            f"{100 * last:.1f} % on val): the network is not trained enough, train "
            "longer, or its images are preprocessed differently than in training. A drop "
            "below 0 is a gain of leaving early.",
            soft_wrap=True,
        )


def _print_choice(out: Console, tuning: Tuning) -> None:
    subject, costs = tuning.subject, tuning.subject.costs
    *_, (split, judgement) = tuning.judgements.items()
    images = split if split == "images" else f"{split} images"
    out.print(judgement_text(judgement, costs, images, labelled=subject.labelled), soft_wrap=True)
    if tuning.guarantee is not None:
        out.print(format_guarantee(tuning.guarantee, tuning.guarantee.thresholds), soft_wrap=True)
    title = f"{subject.title}, on {subject.dataset}"
    if not subject.labelled:
        title += "\nwithout labels: accuracy is agreement with the last exit"
    print_table(judgement_table(judgement, costs, title), out)
    out.print(_how_chosen(tuning))


def _how_chosen(tuning: Tuning) -> str:
    """Return how the thresholds were chosen, and their results on the images of the choice."""
    front, subject = tuning.front, tuning.subject
    costs = subject.costs
    split, judgement = next(iter(tuning.judgements.items()))
    if tuning.guaranteed is not None:
        return _how_guaranteed(tuning, tuning.guaranteed)
    how = "the best of" if front.exact else "the best found, by local search, counting"
    text = (
        f"{describe_limits(tuning.limits, costs.unit)}; {how} {front.settings:,} settings, by "
        f"{costs.unit} of {subject.source}"
    )
    if len(tuning.judgements) > 1:
        text += (
            f"; chosen on {judgement.report.samples} {split} images, where the drop is "
            f"{judgement.intervals.accuracy_drop:.4f}"
        )
    return text


def _how_guaranteed(tuning: Tuning, guaranteed: Guaranteed) -> str:
    """Return how the thresholds were chosen and tested."""
    costs, limit = tuning.subject.costs, tuning.limits.max_path_cost
    kept = "" if limit is None else f" and no path above {format_cost(limit, costs.unit)}"
    test = "betting" if guaranteed.by_betting else "the binomial tail"
    return (
        f"lowest average cost, by {costs.unit} of {tuning.subject.source}, that was shown to keep "
        f"the guarantee{kept}: {guaranteed.candidates} candidates chosen on "
        f"{guaranteed.front.samples} images, tested from safe to cheap on the other "
        f"{guaranteed.counts.images}, {guaranteed.passed} passed; by {test}, "
        f"{guaranteed.counts.lost} lost, {guaranteed.counts.gained} gained"
    )


def _calibration_text(calibration: Calibration) -> str:
    exits = (
        f"{name} {calibration.error_before[name]:.4f} before, {calibration.error_after[name]:.4f} "
        f"after, by temperature {temperature:.4f}"
        for name, temperature in calibration.temperatures.items()
    )
    return (
        f"temperatures fitted on {calibration.fitted_on} images of val; expected calibration error "
        f"on the other {len(calibration.predictions.targets)}: {'; '.join(exits)}"
    )


def _front_table(tuning: Tuning) -> Table:
    from edgeexit.thresholds.front import spread_points

    front, costs = tuning.front, tuning.front.costs
    chosen = spread_points(front, SHOWN)
    branches = costs.exit_names[:-1]
    apart = len(branches) <= APART
    if apart:
        columns = numbers(*(f"{name}\nthreshold" for name in branches))
    else:
        columns = texts(f"thresholds of\n{branches[0]} to {branches[-1]}")
    for split in tuning.front_by_split:
        columns += numbers(f"{split}:\naccuracy", f"\naverage {costs.unit}")
    rows = []
    for place in chosen:
        values = front.setting(place).thresholds.values()
        cells = [format_threshold(value) for value in values]
        if not apart:
            cells = [" ".join("never" if value > 1 else f"{value:.4f}" for value in values)]
        for settings in tuning.front_by_split.values():
            accuracy, cost = settings[place].accuracy, settings[place].average_cost
            cells += [f"{accuracy:.4f}", format_bare_cost(cost, costs.unit)]
        rows.append(tuple(cells))
    return Table.of(
        f"{tuning.subject.title}: accuracy against average {costs.unit}, {len(chosen)} of the "
        f"{len(front)} settings on the front",
        columns,
        rows,
    )
