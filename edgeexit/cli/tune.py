"""``edgeexit tune``: the best thresholds within limits, chosen on val, reported on test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.inputs.own_weights import (
    NetworkOptions,
    load_network,
    network_options,
    network_words,
)
from edgeexit.cli.inputs.samples import SampleOptions, bundle_sample_options
from edgeexit.cli.options.backend import BackendOptions, check_options_of, run_options
from edgeexit.cli.options.limits import LIMITS, given_limits, limit_options
from edgeexit.cli.options.shared import SectionedCommand, taken
from edgeexit.cli.options.tune import ALL, TuneOptions, tune_options
from edgeexit.cli.terminal import console, print_json, progress_bar, remark, say
from edgeexit.formats import format_command

if TYPE_CHECKING:
    from edgeexit_runtime.bundle.guarantee_entry import Guarantee

    from edgeexit.cli.inputs.tune_subjects import Loaded
    from edgeexit.cli.output.tune import Result
    from edgeexit.thresholds import Front, Limits
    from edgeexit.thresholds.guarantee import Promise
    from edgeexit.training.checkpoint import Checkpoint

SECTIONS = {
    "Limits": LIMITS,
    "A guarantee": ("confidence", "max_error", "max_disagreement", "images"),
    "What is tuned": ("engine_dir", "objective", "costs", "calibrate", "score", "grid_size"),
    "What is written": ("output", "dry_run", "front", "plot", "as_json"),
    "What runs a bundle": ("backend", "providers", "threads"),
    "Images": ("dataset", "data_dir", "download", "batch_size", "workers", "device"),
}


@click.command("tune", cls=SectionedCommand, sections=SECTIONS)
@tune_options
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, the whole front included.")
@network_options
@run_options
@bundle_sample_options
def command(as_json: bool, **values: Any) -> None:
    """Choose the thresholds that are best within limits; without limits, show what there is.

    They are chosen on the validation images and reported on the test images beside them, with 95 %
    bootstrap intervals. Up to three branches every combination of the grid's values is counted;
    with more the search is a local one. An exit whose branch costs more than it saves is switched
    off. The network is written with them to a checkpoint beside its own: CKPT with .tuned.
    --engine-dir tunes a bundle by its own graphs and rewrites its thresholds.

    With --confidence they come with a guarantee: on other images of the same source the risk is at
    most what was asked for, with that probability. It holds for images that are drawn independently
    (not frames of one video) and that the network has not seen; val chose its best epoch, too.

    \b
    Examples:
      edgeexit tune run/ckpt.pt --max-drop 0.01
      edgeexit tune run/ckpt.pt --front front.csv --plot front.png
      edgeexit tune --engine-dir out/ --objective latency --max-drop 0.01
      edgeexit tune run/ckpt.pt --max-drop 0.02 --confidence 0.95
      edgeexit tune --engine-dir out/ --images photos/ --max-disagreement 0.02
      edgeexit tune run/ckpt.pt --score all
    """
    from edgeexit.bench import check_plot_path
    from edgeexit.cli.inputs.tune_subjects import check_replaceable, score_areas
    from edgeexit.cli.output.scores import print_areas
    from edgeexit.training.checkpoint import is_checkpoint

    limits = given_limits(values)
    network, backend = taken(NetworkOptions, values), taken(BackendOptions, values)
    options = taken(TuneOptions, values)
    samples = SampleOptions(**values)
    named = options.output
    promise = options.promise(limits)
    chooses = promise is not None or not limits.none_given
    if chooses:
        options = options.with_output()
    check_options_of(options.path, options.engine_dir)
    options.check()
    if options.score == ALL:
        options.check_comparison(chooses)
    if options.images is not None and (samples.dataset or samples.data_dir or samples.download):
        raise click.UsageError("--images takes the place of a data set: leave that out")
    if options.plot is not None:
        check_plot_path(options.plot)
    _check_output(options, chooses)
    checkpoint = None if options.path is None else load_network(options.path, network, samples)
    replaced = options.path if options.output == options.path else None
    if replaced is not None and not is_checkpoint(replaced):
        raise click.UsageError(f"{replaced} holds weights alone, which stay; choose another -o")
    if options.path is not None and checkpoint is not None and options.score == ALL:
        areas, unit = score_areas(checkpoint, options, samples, network)
        title = f"{checkpoint.spec.backbone}, branches {checkpoint.spec.pattern}"
        print_areas(options.path, title, unit, areas, as_json)
        return
    dropped = None if checkpoint is None else checkpoint.guarantee
    if checkpoint is not None and options.score is not None:
        checkpoint = checkpoint.with_score(options.score)
    if checkpoint is not None and options.output is not None and named is None:
        dropped = check_replaceable(options.output, checkpoint) or dropped
        if options.output == options.path:
            told = f"{options.path} is tuned already: its thresholds are chosen anew and replaced"
            remark(told)
    with _bundle_held(options, chooses):
        loaded = _load(checkpoint, options, samples, network, backend, promise)
        result = _tune(loaded, options, limits, promise)
        _save(result, options, checkpoint, dropped)
    _print(result, options, as_json)
    if not as_json and result.thresholds is not None and not options.dry_run:
        say(f"next: {_next_command(options, checkpoint, backend)}")


def _check_output(options: TuneOptions, chooses: bool) -> None:
    from edgeexit.files import check_writable

    if not chooses and options.output is not None:
        known = ", ".join(f"--{name.replace('_', '-')}" for name in LIMITS)
        raise click.UsageError(f"-o needs to know which thresholds to write: give one of {known}")
    for file in filter(None, (options.output, options.front, options.plot)):
        check_writable(file)


@contextmanager
def _bundle_held(options: TuneOptions, chooses: bool) -> Iterator[None]:
    """Let no other process change the bundle that thresholds are chosen for."""
    from edgeexit_runtime import load_manifest
    from edgeexit_runtime.system.locks import lock_folder

    if options.engine_dir is None or options.dry_run or not chooses:
        yield
        return
    load_manifest(options.engine_dir)  # nothing is written into a folder that is no bundle
    with lock_folder(options.engine_dir):
        yield


def _load(
    checkpoint: Checkpoint | None,
    options: TuneOptions,
    samples: SampleOptions,
    network: NetworkOptions,
    backend: BackendOptions,
    promise: Promise | None,
) -> Loaded:
    from edgeexit.cli.inputs.tune_subjects import load_bundle, load_checkpoint_subject

    if checkpoint is None:
        return load_bundle(options, samples, backend, promise)
    return load_checkpoint_subject(checkpoint, options, samples, network)


def _tune(loaded: Loaded, options: TuneOptions, limits: Limits, promise: Promise | None) -> Result:
    from edgeexit.cli.output.tune import Result
    from edgeexit.thresholds.guarantee import find_guaranteed
    from edgeexit.thresholds.tuning import find_thresholds, judge

    subject, guaranteed = loaded.subject, None
    with progress_bar() as bar:
        task = bar.add_task("thresholds", total=1.0)

        def progress(done: float) -> None:
            bar.update(task, completed=done)

        if promise is None:
            front, thresholds = find_thresholds(subject, limits, options.grid_size, progress)
        else:
            guaranteed = find_guaranteed(
                subject.val,
                subject.costs,
                promise,
                options.grid_size,
                max_path_cost=limits.max_path_cost,
                progress=progress,
            )
            front, thresholds = guaranteed.front, guaranteed.thresholds
    judgements = {}
    if thresholds is not None:
        judgements = {split: judge(subject, split, thresholds) for split in subject.splits}
    return Result(loaded, limits, front, thresholds, judgements, guaranteed)


def _save(
    result: Result,
    options: TuneOptions,
    checkpoint: Checkpoint | None,
    dropped: Guarantee | None,
) -> None:
    """Write the thresholds; where those before had a guarantee and these have none, say so."""
    from edgeexit.cli.inputs.tune_subjects import save_bundle, save_tuned
    from edgeexit.formats import format_dropped

    _save_front(result, options)
    if result.thresholds is None:
        return
    if checkpoint is not None and options.output is not None:
        save_tuned(
            checkpoint,
            options.output,
            result.thresholds,
            result.guarantee,
            result.loaded,
            result.choice_json(),
        )
    elif options.engine_dir is not None and not options.dry_run:
        dropped = save_bundle(
            options.engine_dir, result.loaded, result.thresholds, result.guarantee
        )
    else:
        return
    if dropped is not None and result.guarantee is None:
        remark(format_dropped(dropped))


def _save_front(result: Result, options: TuneOptions) -> None:
    from edgeexit.thresholds.front_file import write_front

    front: Front = result.front
    if options.front is not None:
        write_front(options.front, front, result.points())
        remark(f"wrote {options.front}: {len(front)} settings")
    if options.plot is not None:
        from edgeexit.thresholds.front_picture import write_tuned

        write_tuned(
            options.plot,
            front,
            result.points(),
            result.thresholds,
            result.loaded.subject.test,
            result.loaded.title,
        )
        remark(f"wrote {options.plot}")


def _print(result: Result, options: TuneOptions, as_json: bool) -> None:
    from edgeexit.cli.output.tune import print_result

    if as_json:
        given = {
            "checkpoint": options.path,
            "engine_dir": options.engine_dir,
            "output": options.output,
        }
        about = {name: str(path) for name, path in given.items() if path is not None}
        print_json({**about, **result.choice_json(), **result.front_json()})
    else:
        print_result(console(), result)
    if result.thresholds is None:
        where = "nothing was chosen: add a limit such as --max-drop 0.01"
    elif options.dry_run:
        where = "nothing was written: a dry run"
    elif options.engine_dir is not None:
        where = f"wrote these thresholds into {options.engine_dir}"
    else:
        where = f"wrote {options.output}"
    remark(where)


def _next_command(
    options: TuneOptions, checkpoint: Checkpoint | None, backend: BackendOptions
) -> str:
    if checkpoint is None:
        return format_command("bench", "--engine-dir", f"{options.engine_dir}/", *backend.words)
    return format_command("export", options.output, *network_words(checkpoint))
