"""Train every strategy, teacher and branching pattern on the digits, and write docs/results/.

    python benchmarks/training_results.py [--seeds 5] [--jobs 2] [--runs results] [-o docs/results]

The report is written at the end, from the runs of all seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digits_runs import (
    HOLD_OUT,
    INPUT_SIZE,
    METHODS,
    PATTERNS,
    SAME,
    Method,
    folder,
    results_parser,
    train_all,
)
from report_files import Row, markdown, over_seeds, spread, write_results

if TYPE_CHECKING:
    from edgeexit.training.comparison import ComparedRun, RunGroup, Spread

Tables = dict[str, tuple[Sequence[str], Sequence["RunGroup"]]]
"""By title, the names of the rows and their groups of runs."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the paper: the accuracy ``figure`` of one row is above that of another."""

    text: str
    figure: str
    above: str
    below: str


CLAIMS = (
    Claim("branches-only has the worse early exits (V-D)", "exit1", "Coop", "BO"),
    Claim("branches-only has the worse early exits (V-D)", "exit2", "Coop", "BO"),
    Claim("stage-wise has the worse final exit (V-D)", "final", "Coop", "SW"),
    Claim("stage-wise is worse with early exit (V-D)", "adaptive", "Coop", "SW"),
    Claim("an ensemble teaches better than the last exit (V-D)", "teacher", "WED", "OFA"),
    Claim("weighting makes the ensemble better (V-D)", "teacher", "WED", "MED"),
    Claim("distillation from the ensemble helps (V-D)", "exit1", "WED", "Coop"),
    Claim("distillation from the ensemble helps (V-D)", "adaptive", "WED", "Coop"),
    Claim("decreasing complexity is best (V-C, Fig. 7)", "adaptive", "3+1", "2+2"),
    Claim("decreasing complexity is best (V-C, Fig. 7)", "adaptive", "3+1", "1+3"),
    Claim("SE raises early exits (V-C, Table IV)", "exit1", "1+3", "1+3 without SE"),
    Claim("SE raises early exits (V-C, Table IV)", "exit1", "2+2", "2+2 without SE"),
    Claim("SE raises early exits (V-C, Table IV)", "exit1", "3+1", "3+1 without SE"),
)
MAX_DROP = 0.01
"""Thresholds: the cheapest that lose at most this much of the backbone's validation accuracy."""

REPORT = """# Training strategies, teachers and branching patterns on the digits

Written by `make results` (`benchmarks/training_results.py`); the same figures are in
[training.json](training.json).

ResNet-20 on scikit-learn's handwritten digits at 16x16 pixels, {epochs} epochs per phase, batches
of {batch_size}, learning rate {lr}. To make the task hard there are {training} training images, and
{validation} to choose on. Accuracy on {samples} test images in percent, mean ± standard deviation
over {seeds} seeds. One test image is {step:.2f} points: differences below a standard deviation are
not meaningful.

- **teacher**: the teacher's accuracy on the same images.
- **adaptive**: accuracy with early exit, at the thresholds of the lowest average cost that lose at
  most {drop} point of the final exit's accuracy on the validation images.
- **MACs (Eq. 5)** and **ratio**: average cost of an image at these thresholds, and that cost over
  the plain backbone's.

## Strategies and teachers (Table V)

Branches 3+1. BO starts from the plain backbone with the same seed, which is also the teacher of DK.

{strategies}

## Branching patterns, with and without squeeze-and-excitation (Tables III and IV)

Cooperative training without a teacher.

{patterns}

## Comparison with the paper's claims

The difference of two rows in points, seed by seed: positive agrees with the paper, and *clearly*
means a two-sided Student's t test at 5 %, which errs in one claim of twenty. The paper's figures
are for ResNet-18 on ImageNet and for CIFAR-100; these are for a small network on a small data set
and show nothing beyond that. BO and SW train longer than Coop, in 2 and 3 phases instead of one, as
in the paper.

{claims}

![accuracy of every method](training.png)
"""


def main() -> None:
    options = results_parser(__doc__).parse_args()
    others = [*METHODS[1:], *(method for method in PATTERNS if method.name not in SAME)]
    setting = train_all([METHODS[:1], others], options)  # others start from the plain backbones
    strategies, patterns = (
        compare(options.runs, methods, options.seeds) for methods in (METHODS, PATTERNS)
    )
    write_report(options.output, strategies, patterns, setting, options.seeds)


def compare(runs: Path, methods: Sequence[Method], seeds: int) -> list[RunGroup]:
    """Return one group per method: the results of its runs on the test images."""
    from edgeexit.data import load_data
    from edgeexit.thresholds import Limits
    from edgeexit.training.comparison import Execution, compare_run, group_runs, load_finished_run

    data = None
    groups = []
    for method in methods:
        compared: list[ComparedRun] = []
        for seed in range(seeds):
            run = load_finished_run(folder(runs, method.name, seed))
            data = data or load_data(run.config.data)
            compared.append(compare_run(run, data, Limits(max_drop=MAX_DROP), Execution()))
        (group,) = group_runs(compared)
        groups.append(group)
    return groups


def write_report(
    output: Path,
    strategies: Sequence[RunGroup],
    patterns: Sequence[RunGroup],
    setting: dict[str, Any],
    seeds: int,
) -> None:
    """Write ``training.md``, ``training.json`` and ``training.png`` to the folder ``output``."""
    from edgeexit_runtime.bundle.schema import encode

    from edgeexit.data import load_data

    data = load_data(strategies[0].runs[0].config.data)
    samples = len(data.splits["test"])
    names = [method.name for method in METHODS]
    pattern_names = [method.name for method in PATTERNS]
    tables: Tables = {"strategies": (names, strategies), "patterns": (pattern_names, patterns)}
    figures = {
        title: {name: _without_runs(encode(group)) for name, group in zip(*table, strict=True)}
        for title, table in tables.items()
    }
    about = {**setting, "input_size": INPUT_SIZE, "hold_out": HOLD_OUT, "seeds": seeds}
    text = REPORT.format(
        epochs=setting["epochs"],
        batch_size=setting["batch_size"],
        lr=setting["lr"],
        seeds=seeds,
        training=len(data.training),
        validation=len(data.splits["val"]),
        samples=samples,
        step=100 / samples,
        drop=f"{100 * MAX_DROP:g}",
        strategies=_table(names, strategies),
        patterns=_table(pattern_names, patterns),
        claims=_claims_table(
            {
                **dict(zip(pattern_names, patterns, strict=True)),
                **dict(zip(names, strategies, strict=True)),
            }
        ),
    )
    write_results(output, "training", text, {"setting": about, **figures})
    _plot(output / "training.png", tables)


def _table(names: Sequence[str], groups: Sequence[RunGroup]) -> str:
    rows: list[Row] = [
        ("", "exit1", "exit2", "final", "teacher", "adaptive", "MACs (Eq. 5)", "ratio")
    ]
    for name, group in zip(names, groups, strict=True):
        accuracies = [group.accuracy.get(exit_) for exit_ in ("exit1", "exit2", "final")]
        shown = map(_percent, (*accuracies, group.teacher_accuracy, group.adaptive_accuracy))
        ratio = f"{group.macs_ratio.mean:.3f} ± {group.macs_ratio.std or 0:.3f}"
        rows.append((name, *shown, f"{group.average_macs.mean / 1e6:.2f}M", ratio))
    return markdown(rows)


def _claims_table(groups: Mapping[str, RunGroup]) -> str:
    rows: list[Row] = [
        ("the paper", "figure", "difference", "in points", "seeds that agree", "here")
    ]
    for claim in CLAIMS:
        if not {claim.above, claim.below} <= groups.keys():
            continue
        points = [
            100 * (_figure(above, claim.figure) - _figure(below, claim.figure))
            for above, below in zip(groups[claim.above].runs, groups[claim.below].runs, strict=True)
        ]
        rows.append(
            (
                claim.text,
                claim.figure,
                f"{claim.above} - {claim.below}",
                spread(points, sign="+"),
                f"{sum(point > 0 for point in points)} of {len(points)}",
                _verdict(points),
            )
        )
    return markdown(rows)


def _figure(run: ComparedRun, name: str) -> float:
    exits = {exit_.name: exit_.accuracy for exit_ in run.report.exits}
    return {
        **exits,
        "adaptive": run.report.adaptive_accuracy,
        "teacher": run.teacher_accuracy or math.nan,
    }[name]


def _verdict(points: Sequence[float]) -> str:
    difference = over_seeds(points)
    if difference.is_above(0):
        return "clearly agrees"
    return "clearly the other way" if difference.is_below(0) else "no significant difference"


def _percent(spread: Spread | None) -> str:
    return "" if spread is None else f"{100 * spread.mean:.2f} ± {100 * (spread.std or 0):.2f}"


def _without_runs(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name not in ("runs", "name")}


def _plot(path: Path, tables: Tables) -> None:
    """Draw each method's accuracies with their standard deviations, one panel per table."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    from edgeexit.files import replace_file

    figure, panels = plt.subplots(1, len(tables), figsize=(13, 4.5), sharey=True)
    for panel, (title, (names, groups)) in zip(panels, tables.items(), strict=True):
        for shift, key in enumerate(("exit1", "exit2", "final", "adaptive")):
            points = [
                (place, spread)
                for place, group in enumerate(groups)
                if (spread := {**group.accuracy, "adaptive": group.adaptive_accuracy}.get(key))
            ]
            panel.errorbar(
                [place + 0.15 * (shift - 1.5) for place, _ in points],
                [100 * spread.mean for _, spread in points],
                [100 * (spread.std or 0) for _, spread in points],
                fmt="o",
                capsize=3,
                label=key,
            )
        panel.set_xticks(
            range(len(names)), [name.replace(" without", "\nwithout") for name in names]
        )
        panel.set_title(title)
        panel.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("test accuracy, %")
    panels[0].legend()
    figure.tight_layout()
    with replace_file(path) as temporary:
        figure.savefig(temporary, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main()
