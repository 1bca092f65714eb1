"""What ``edgeexit tune`` found, as tables and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from edgeexit_runtime.bundle.schema import encode

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
    from edgeexit_runtime.bundle.guarantee_entry import Guarantee
    from rich.console import Console

    from edgeexit.cli.inputs.tune_subjects import Loaded
    from edgeexit.evaluation.calibration import Calibration
    from edgeexit.thresholds import Front, Limits
    from edgeexit.thresholds.front_file import FrontPoint
    from edgeexit.thresholds.guarantee import Guaranteed
    from edgeexit.thresholds.tuning import Judgement

SHOWN = 15  # settings of the front
APART = 3  # thresholds in columns of their own; more would not fit a terminal


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The front, and what was chosen on it.

    Attributes:
        loaded: what was tuned.
        limits: what the thresholds had to keep to.
        front: the settings that no other beats on val.
        thresholds: None where no limit was given.
        judgements: of these thresholds, by split.
        guaranteed: how they were shown to keep a promise; None where none was asked for.
    """

    loaded: Loaded
    limits: Limits
    front: Front
    thresholds: dict[str, float] | None
    judgements: dict[str, Judgement]
    guaranteed: Guaranteed | None = None

    @property
    def guarantee(self) -> Guarantee | None:
        """What is kept with the thresholds."""
        return None if self.guaranteed is None else self.guaranteed.entry(self.loaded.chosen_on)

    @property
    def better_than_last(self) -> dict[str, float]:
        """Exits that are better than the last one on val, with their accuracies there."""
        from edgeexit.thresholds.tuning import better_than_last

        return better_than_last(self.loaded.subject.val)

    def points(self) -> list[FrontPoint]:
        """Return the front beside what its settings give on test."""
        return _points(self)

    def choice_json(self) -> dict[str, Any]:
        """Return all but the front."""
        costs, calibration = self.loaded.subject.costs, self.loaded.calibration
        value: dict[str, Any] = {
            "dataset": self.loaded.dataset,
            "limits": encode(self.limits),
            "objective": {**costs.in_units(), "source": self.loaded.source},
            "chosen_on": next(iter(self.loaded.subject.splits)),
            "labelled": self.loaded.labelled,
            "thresholds": self.thresholds,
            "settings": self.front.settings,
            "exact": self.front.exact,
            "better_than_last": self.better_than_last,
        }
        for split, judgement in self.judgements.items():
            value[split] = encode(judgement.report)
            value.setdefault("average_cost", {})[split] = judgement.average_cost
            value.setdefault("intervals", {})[split] = encode(judgement.intervals)
        if self.guaranteed is not None:
            value["guarantee"] = {
                **encode(self.guarantee),
                "candidates": self.guaranteed.candidates,
                "passed": self.guaranteed.passed,
                "by_betting": self.guaranteed.by_betting,
            }
        if calibration is not None:
            value["calibration"] = {
                "temperatures": calibration.temperatures,
                "fitted_on": calibration.fitted_on,
                "expected_calibration_error_before": calibration.error_before,
                "expected_calibration_error_after": calibration.error_after,
            }
        return value

    def front_json(self) -> dict[str, Any]:
        """Return every setting of the front, on val and on test; none with a guarantee.

        That has a front of half of val, by what is lost, which only gives candidates.
        """
        if self.guaranteed is not None:
            return {}
        settings = [
            {
                "thresholds": point.val.thresholds,
                **{
                    split: {"accuracy": s.accuracy, "average_cost": s.average_cost}
                    for split, s in (("val", point.val), ("test", point.test))
                },
            }
            for point in self.points()
        ]
        return {"front": settings}


@lru_cache(maxsize=1)  # a picture, a file and JSON may all want them
def _points(result: Result) -> list[FrontPoint]:
    from edgeexit.thresholds.front_file import front_points

    return front_points(result.front, result.loaded.subject.test)


def print_result(out: Console, result: Result) -> None:
    """Print the choice or else the front, how it was found, the calibration and what is odd."""
    if result.thresholds is None:
        print_table(_front_table(result), out)
    else:
        _print_choice(out, result)
    if result.loaded.calibration is not None:
        out.print(_calibration_text(result.loaded.calibration))
    better = result.better_than_last
    if better:
        best = max(better, key=lambda name: better[name])
        last = float(result.loaded.subject.val.correct[-1].mean())
        out.print(
            f"{best} is better than the last exit ({100 * better[best]:.1f} against "
            f"{100 * last:.1f} % on val): the network is not trained yet, train longer. A drop "
            "below 0 is what leaving early gains.",
            soft_wrap=True,
        )


def _print_choice(out: Console, result: Result) -> None:
    loaded, costs = result.loaded, result.loaded.subject.costs
    *_, (split, judgement) = result.judgements.items()
    images = split if split == "images" else f"{split} images"
    said = judgement_text(judgement, costs, images, labelled=loaded.labelled)
    out.print(said, soft_wrap=True)
    if result.guarantee is not None:
        out.print(format_guarantee(result.guarantee, result.guarantee.thresholds), soft_wrap=True)
    title = f"{loaded.title}, on {loaded.dataset}"
    if not loaded.labelled:
        title += "\nwithout labels: accuracy is agreement with the last exit"
    print_table(judgement_table(judgement, costs, title), out)
    out.print(_how_chosen(result))


def _how_chosen(result: Result) -> str:
    """Say how the thresholds were chosen, and what they give on the images of the choice."""
    front, loaded = result.front, result.loaded
    costs = loaded.subject.costs
    split, judgement = next(iter(result.judgements.items()))
    if result.guaranteed is not None:
        return _how_guaranteed(result, result.guaranteed)
    how = "the best of" if front.exact else "the best found, by local search, counting"
    text = (
        f"{describe_limits(result.limits, costs.unit)}; {how} {front.settings:,} settings, by "
        f"{costs.unit} of {loaded.source}"
    )
    if len(result.judgements) > 1:
        text += (
            f"; chosen on {judgement.report.samples} {split} images, where the drop is "
            f"{judgement.intervals.accuracy_drop:.4f}"
        )
    return text


def _how_guaranteed(result: Result, guaranteed: Guaranteed) -> str:
    """Say how the thresholds were chosen and tested."""
    costs, limit = result.loaded.subject.costs, result.limits.max_path_cost
    kept = "" if limit is None else f" and no path above {format_cost(limit, costs.unit)}"
    test = "betting" if guaranteed.by_betting else "the binomial tail"
    return (
        f"lowest average cost, by {costs.unit} of {result.loaded.source}, that was shown to keep "
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


def _front_table(result: Result) -> Table:
    from edgeexit.thresholds.front_file import spread_points

    front, points = result.front, result.points()
    costs = front.costs
    chosen = spread_points(front, SHOWN)
    branches = costs.exit_names[:-1]
    apart = len(branches) <= APART
    if apart:
        columns = numbers(*(f"{name}\nthreshold" for name in branches))
    else:
        columns = texts(f"thresholds of\n{branches[0]} to {branches[-1]}")
    for split in ("val", "test"):
        columns += numbers(f"{split}:\naccuracy", f"\naverage {costs.unit}")
    rows = []
    for place in chosen:
        point = points[place]
        values = point.val.thresholds.values()
        cells = [format_threshold(value) for value in values]
        if not apart:
            cells = [" ".join("never" if value > 1 else f"{value:.4f}" for value in values)]
        for setting in (point.val, point.test):
            cells += [f"{setting.accuracy:.4f}", format_bare_cost(setting.average_cost, costs.unit)]
        rows.append(tuple(cells))
    return Table.of(
        f"{result.loaded.title}: accuracy against average {costs.unit}, {len(chosen)} of the "
        f"{len(front)} settings on the front",
        columns,
        rows,
    )
