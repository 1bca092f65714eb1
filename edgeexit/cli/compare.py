"""``edgeexit compare``: finished runs side by side, as in the paper's Table V."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.inputs.samples import SampleOptions, load_samples
from edgeexit.cli.options.fields import PATH, argument, flag, takes
from edgeexit.cli.options.limits import LimitOptions, describe_limits
from edgeexit.cli.options.shared import import_model, model_option
from edgeexit.cli.terminal import markdown, print_json, print_table, progress_bar, remark, say
from edgeexit.formats import Column, Table, format_macs

if TYPE_CHECKING:
    from edgeexit.data import DataConfig, ImageData
    from edgeexit.thresholds import Limits
    from edgeexit.training.comparison import ComparedRun, RunGroup, Spread

DEFAULT_MAX_DROP = 0.01
SETTING = ("backbone", "branches", "strategy", "teacher")


@dataclass(frozen=True, slots=True)
class CompareOptions(LimitOptions):
    """The runs, the limits for their thresholds, and the form of the output."""

    paths: tuple[Path, ...] = argument("RUN...", nargs=-1, required=True, type=PATH)
    no_group: bool = flag("One row per run, even if only the seeds differ.")
    as_json: bool = flag("Print JSON.", "--json")
    markdown: bool = flag("Print a Markdown table.")
    model: str | None = model_option()


@click.command("compare")
@takes(CompareOptions)
@takes(SampleOptions)
def command(options: CompareOptions, samples: SampleOptions) -> None:
    """Print finished runs side by side: accuracy of each exit, of the teacher, and with early exit.

    Thresholds are chosen on each run's validation images, with --max-drop 0.01 unless other
    limits are given; all results are on the test images. Runs that differ only in their seed
    share one row, with mean and standard deviation.

    \b
    Example:
      edgeexit compare run-coop/ run-wed/ --max-drop 0.01
    """
    from edgeexit.training.comparison import group_runs

    if options.as_json and options.markdown:
        raise click.UsageError("expected at most one of --json and --markdown, got both")
    limits = options.limits
    if limits.none_given:
        limits = replace(limits, max_drop=DEFAULT_MAX_DROP)
    runs = _compare(options, limits, samples)
    # a row per run, or per runs that differ only in their seeds
    apart = [[run] for run in runs] if options.no_group else [runs]
    groups = [group for together in apart for group in group_runs(together)]
    headings, rows = _cells(groups)
    if options.as_json:
        print_json({"limits": limits, "split": "test", "groups": groups})
    elif options.markdown:
        click.echo(markdown(Table.of("", map(_column, headings), rows)))
    else:
        images = f"{runs[0].report.samples} test images of {runs[0].config.data.name}"
        print_table(_table(headings, rows, images))
        say(f"thresholds chosen on val: {describe_limits(limits, 'MACs')}")


def _compare(options: CompareOptions, limits: Limits, samples: SampleOptions) -> list[ComparedRun]:
    from edgeexit.devices import resolve_device
    from edgeexit.errors import TuningError, prefixed
    from edgeexit.training.comparison import (
        Execution,
        check_comparable,
        compare_run,
        load_finished_run,
    )

    factory = import_model(options.model)
    finished = [load_finished_run(path) for path in options.paths]
    check_comparable(finished)
    execution = Execution(samples.batch_size, samples.workers, resolve_device(samples.device))
    loaded: dict[DataConfig, ImageData] = {}
    compared = []
    with progress_bar() as bar:
        task = bar.add_task("runs", total=len(finished))
        for run in finished:
            if run.checkpoint.data not in loaded:
                loaded[run.checkpoint.data] = load_samples(run.checkpoint, samples)
            source = None if run.checkpoint.spec.is_registered else factory
            data = loaded[run.checkpoint.data]
            with prefixed(f"{run.name}: ", TuningError):
                compared.append(compare_run(run, data, limits, execution, source))
            bar.advance(task)
    for entry in compared:
        if entry.teacher_problem:
            remark(entry.teacher_problem)
    return compared


def _cells(groups: Sequence[RunGroup]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return headings and rows; empty columns are omitted."""
    exits = max((list(group.accuracy) for group in groups), key=len)
    headings = ["run", *SETTING, "n", *exits, "y_t", "adaptive", "MACs (Eq. 5)", "ratio"]
    several = any(len(group.runs) > 1 for group in groups)
    rows = []
    for group in groups:
        config = group.runs[0].config
        cells = [group.name, config.backbone, config.branches, config.strategy, config.distill]
        cells += [str(len(group.runs)) if several else ""]
        cells += [_percent(group.accuracy.get(name)) for name in exits]
        cells += [_percent(group.teacher_accuracy), _percent(group.adaptive_accuracy)]
        cells += [format_macs(group.average_macs.mean), _ratio(group.macs_ratio)]
        rows.append(cells)
    kept = [i for i in range(len(headings)) if any(row[i] for row in rows)]
    return [headings[i] for i in kept], [tuple(row[i] for i in kept) for row in rows]


def _table(headings: list[str], rows: list[tuple[str, ...]], images: str) -> Table:
    """Return the table; settings that all rows share are in its title."""
    common = [
        index
        for index, heading in enumerate(headings)
        if heading in SETTING and len({row[index] for row in rows}) == 1
    ]
    shared = ", ".join(f"{headings[index]} {rows[0][index]}" for index in common)
    shown = [index for index in range(len(headings)) if index not in common]
    return Table.of(
        f"accuracy in %, on {images}" + (f"\n{shared}" if shared else ""),
        (_column(headings[index]) for index in shown),
        (tuple(row[index] for index in shown) for row in rows),
    )


def _column(heading: str) -> Column:
    return Column(heading, heading not in ("run", *SETTING))


def _percent(spread: Spread | None) -> str:
    return "" if spread is None else spread.in_percent()


def _ratio(spread: Spread) -> str:
    std = "" if spread.std is None else f" ± {spread.std:.3f}"
    return f"{spread.mean:.3f}{std}"
