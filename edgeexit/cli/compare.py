"""``edgeexit compare``: finished runs side by side, as in the paper's Table V."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.inputs.samples import SampleOptions, load_samples, sample_options
from edgeexit.cli.options.limits import describe_limits, given_limits, limit_options
from edgeexit.cli.options.shared import import_model, model_option
from edgeexit.cli.terminal import print_json, print_table, progress_bar, remark, say
from edgeexit.formats import Column, Table, format_macs

if TYPE_CHECKING:
    from edgeexit.data import DataConfig, ImageData
    from edgeexit.thresholds import Limits
    from edgeexit.training.comparison import ComparedRun, FinishedRun, RunGroup, Spread

DEFAULT_MAX_DROP = 0.01
SETTING = ("backbone", "branches", "strategy", "teacher")


@click.command("compare")
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@limit_options
@click.option("--no-group", is_flag=True, help="One row per run, even if only the seeds differ.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@model_option
@sample_options
def command(
    paths: tuple[Path, ...],
    no_group: bool,
    as_json: bool,
    markdown: bool,
    model: str | None,
    **options: Any,
) -> None:
    """Print finished runs side by side: accuracy of each exit, of the teacher, and with early exit.

    Thresholds are chosen on each run's validation images, with --max-drop 0.01 unless other
    limits are given; all results are on the test images. Runs that differ only in their seed
    share one row, with mean and standard deviation.

    \b
    Example:
      edgeexit compare run-coop/ run-wed/ --max-drop 0.01
    """
    if as_json and markdown:
        raise click.UsageError("expected at most one of --json and --markdown, got both")
    limits = given_limits(options)
    if limits.none_given:
        limits = replace(limits, max_drop=DEFAULT_MAX_DROP)
    runs = _compare(paths, limits, SampleOptions(**options), model)
    groups = _groups(runs, no_group)
    chosen = f"thresholds chosen on val: {describe_limits(limits, 'MACs')}"
    if as_json:
        print_json(_as_json(groups, limits))
    elif markdown:
        click.echo(markdown_table(groups))
    else:
        samples = runs[0].report.samples
        print_table(_table(groups, f"on {samples} test images of {runs[0].config.data.name}"))
        say(chosen)


def _compare(
    paths: Sequence[Path],
    limits: Limits,
    samples: SampleOptions,
    model: str | None,
) -> list[ComparedRun]:
    from edgeexit.devices import resolve_device
    from edgeexit.errors import TuningError, prefixed
    from edgeexit.training.comparison import (
        Execution,
        check_comparable,
        compare_run,
        load_finished_run,
    )

    factory = import_model(model)
    finished = [load_finished_run(path) for path in paths]
    check_comparable(finished)
    execution = Execution(samples.batch_size, samples.workers, resolve_device(samples.device))
    loaded: dict[DataConfig, ImageData] = {}
    compared = []
    with progress_bar() as bar:
        task = bar.add_task("runs", total=len(finished))
        for run in finished:
            data = _data(run, samples, loaded)
            source = None if run.checkpoint.spec.is_registered else factory
            with prefixed(f"{run.name}: ", TuningError):
                compared.append(compare_run(run, data, limits, execution, source))
            bar.advance(task)
    for entry in compared:
        if entry.teacher_problem:
            remark(entry.teacher_problem)
    return compared


def _data(
    run: FinishedRun, samples: SampleOptions, loaded: dict[DataConfig, ImageData]
) -> ImageData:
    if run.config.data not in loaded:
        loaded[run.config.data] = load_samples(run.checkpoint, samples)
    return loaded[run.config.data]


def _groups(runs: list[ComparedRun], no_group: bool) -> list[RunGroup]:
    from edgeexit.training.comparison import group_runs

    if no_group:
        return [group for run in runs for group in group_runs([run])]
    return group_runs(runs)


def _columns(groups: Sequence[RunGroup]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows; empty columns are omitted."""
    exits = max((list(group.accuracy) for group in groups), key=len)
    headings = ["run", "backbone", "branches", "strategy", "teacher", "n"]
    headings += [*exits, "y_t", "adaptive", "MACs (Eq. 5)", "ratio"]
    several = any(len(group.runs) > 1 for group in groups)
    rows = []
    for group in groups:
        config = group.runs[0].config
        cells = [group.name, config.backbone, config.branches, config.strategy, config.distill]
        cells += [str(len(group.runs)) if several else ""]
        cells += [_percent(group.accuracy.get(name)) for name in exits]
        cells += [_percent(group.teacher_accuracy), _percent(group.adaptive_accuracy)]
        cells += [_macs(group.average_macs), _ratio(group.macs_ratio)]
        rows.append(cells)
    kept = [i for i in range(len(headings)) if any(row[i] for row in rows)]
    return [headings[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _table(groups: Sequence[RunGroup], title: str) -> Table:
    """Return the table; settings that all rows share are in its title."""
    headings, rows = _columns(groups)
    common = [
        index
        for index, heading in enumerate(headings)
        if heading in SETTING and len({row[index] for row in rows}) == 1
    ]
    shared = ", ".join(f"{headings[index]} {rows[0][index]}" for index in common)
    shown = [index for index in range(len(headings)) if index not in common]
    return Table.of(
        f"accuracy in %, {title}" + (f"\n{shared}" if shared else ""),
        (Column(headings[index], headings[index] not in ("run", *SETTING)) for index in shown),
        (tuple(row[index] for index in shown) for row in rows),
    )


def markdown_table(groups: Sequence[RunGroup]) -> str:
    """Return the table in Markdown; accuracies in percent."""
    headings, rows = _columns(groups)
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _as_json(groups: Sequence[RunGroup], limits: Limits) -> dict[str, Any]:
    return {"limits": limits, "split": "test", "groups": list(groups)}


def _percent(spread: Spread | None) -> str:
    return "" if spread is None else spread.in_percent()


def _macs(spread: Spread) -> str:
    return format_macs(spread.mean)


def _ratio(spread: Spread) -> str:
    std = "" if spread.std is None else f" ± {spread.std:.3f}"
    return f"{spread.mean:.3f}{std}"
