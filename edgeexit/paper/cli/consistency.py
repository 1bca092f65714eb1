"""``edgeexit consistency``: how branches changed a backbone, as in the paper's Figs. 12 and 13."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.inputs.samples import SampleOptions, load_samples, sample_options
from edgeexit.cli.options import typed
from edgeexit.cli.options.shared import SectionedCommand, import_model, model_option, section
from edgeexit.cli.terminal import print_json, print_table, remark
from edgeexit.formats import Table, numbers, texts

if TYPE_CHECKING:
    from edgeexit.paper.consistency import ConsistencyReport, StudyOptions

GIB = 2**30
ENDINGS = ("json", "csv", "png", "pdf")
FIT_OPTIONS = ("epochs", "lr", "fit_batch_size", "momentum", "weight_decay", "seed")


def _numbers(**defaults: tuple[Any, Any, str]) -> Callable[[Any], Any]:
    """Add an option of each name, from its type, default and help."""

    def add(command: Any) -> Any:
        for name, (kind, default, text) in reversed(defaults.items()):
            flag = "--" + name.replace("_", "-")
            command = click.option(flag, type=kind, default=default, show_default=True, help=text)(
                command
            )
        return command

    return add


@click.command("consistency", cls=SectionedCommand)
@click.argument("baseline", metavar="BASELINE_CKPT", type=click.Path(path_type=Path))
@click.argument(
    "paths",
    metavar="BRANCHED_CKPT...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@section(
    "Study",
    _numbers(
        depths=(typed.depths, "0,1,2,3", "Numbers N of non-linear layers, Eq. 4."),
        runs=(click.IntRange(min=1), 3, "Fits per network, stage and N."),
    ),
    click.option(
        "--control",
        is_flag=True,
        help="Also fit the first network with its features shuffled across images: the chance "
        "level of accuracy.",
    ),
)
@section(
    "Training of reconstructions",
    _numbers(
        epochs=(click.IntRange(min=1), 10, "Passes over the training images in a fit."),
        lr=(click.FloatRange(min=0, min_open=True), 0.01, "Learning rate, x0.1 every 3 epochs."),
        fit_batch_size=(click.IntRange(min=2), 64, "Images per step."),
        momentum=(click.FloatRange(0, 1, max_open=True), 0.9, "Momentum of SGD."),
        weight_decay=(click.FloatRange(min=0), 1e-4, "Weight decay of SGD."),
        seed=(click.IntRange(min=0), 0, "Random seed of all fits."),
    ),
)
@section(
    "Networks and data",
    model_option,
    sample_options,
    _numbers(
        cache_gib=(click.FloatRange(min=0), 2.0, "Memory for features; others are recomputed.")
    ),
)
@section(
    "Output",
    click.option(
        "-o",
        "--output",
        default="consistency",
        show_default=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder for consistency.json, .csv, .png and .pdf; finished fits there are kept.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)
def command(
    baseline: Path,
    paths: tuple[Path, ...],
    depths: tuple[int, ...],
    runs: int,
    control: bool,
    cache_gib: float,
    output: Path,
    as_json: bool,
    model: str | None,
    **options: Any,
) -> None:
    """Show how much of a plain network's knowledge is in networks with branches.

    At each stage with an exit behind it, the baseline's features are reconstructed from the
    branched network's: by one linear convolution and N non-linear layers, learned on the training
    images. The reconstruction replaces the baseline's own features, and the rest of the baseline
    classifies the test images. The closer the result is to the baseline's own accuracy, the less
    the branches changed the backbone.

    A stopped study resumes when the command is run again; more networks, depths or runs extend it.

    \b
    Example:
      edgeexit consistency plain/ckpt.pt run-31/ckpt.pt run-13/ckpt.pt --depths 0,1,2,3 --runs 3
    """
    from edgeexit.paper.consistency import FitSettings, StudyOptions

    fit = {name: options.pop(name) for name in FIT_OPTIONS}
    try:  # nan and inf are numbers to click
        settings = FitSettings(batch_size=fit.pop("fit_batch_size"), **fit)
        study = StudyOptions(depths, runs, settings, control, cache_gib * GIB)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _check_output(output)
    report = _study((baseline, *paths), SampleOptions(**options), study, output, model)
    _write(report, output)
    if as_json:
        print_json(report)
    else:
        print_table(_table(report))
    remark(f"wrote {output}: consistency.json, .csv, .png and .pdf")


def _study(
    paths: tuple[Path, ...],
    samples: SampleOptions,
    options: StudyOptions,
    output: Path,
    model: str | None,
) -> ConsistencyReport:
    from edgeexit.devices import resolve_device
    from edgeexit.paper.cli.consistency_progress import ConsistencyProgress
    from edgeexit.paper.consistency import (
        Execution,
        check_comparable,
        name_networks,
        study_consistency,
    )
    from edgeexit.training.checkpoint import load_checkpoint

    factory = import_model(model)
    first, *others = [load_checkpoint(path) for path in paths]
    networks = name_networks(paths[1:], others)
    (baseline,) = name_networks(paths[:1], [first])
    check_comparable(baseline, networks, same_folder=samples.data_dir is None)
    execution = Execution(samples.batch_size, samples.workers, resolve_device(samples.device))
    data = load_samples(first, samples)
    progress = ConsistencyProgress()
    with progress.bar:
        return study_consistency(
            baseline,
            networks,
            data,
            output,
            options,
            execution=execution,
            dataset=samples.dataset,
            model=factory,
            progress=progress,
        )


def _check_output(output: Path) -> None:
    """Refuse to overwrite result files without a consistency.json to resume from."""
    from edgeexit.errors import WriteError

    json_file, *others = (output / f"consistency.{ending}" for ending in ENDINGS)
    there = [path for path in others if path.exists()]
    if there and not json_file.exists():
        raise WriteError(
            f"{there[0]}: is there without a {json_file.name}; move it away or choose another -o"
        )


def _write(report: ConsistencyReport, output: Path) -> None:
    from edgeexit.paper.consistency import plot_consistency, write_csv

    write_csv(report, output / "consistency.csv")
    plot_consistency(report, [output / "consistency.png", output / "consistency.pdf"])


def _table(report: ConsistencyReport) -> Table:
    """Return a row per stage and network, and a column per N; accuracies in percent."""
    settings = report.settings
    depths = sorted({cell.depth for network in report.networks for cell in network.cells})
    spread = f", mean ± standard deviation of {report.runs} runs" if report.runs > 1 else ""
    own = f"{100 * report.baseline_accuracy:.2f}"
    groups = []
    for stage in report.stages:
        rows = [(stage, f"the baseline, {report.baseline}", *[own for _ in depths])]
        for network in report.networks:
            cells = {c.depth: c for c in network.cells if c.stage == stage}
            if cells:
                row = [cells[depth].accuracy.in_percent() for depth in depths]
                rows.append(("", network.name, *row))
        groups.append(rows)
    return Table.of(
        f"accuracy in % with reconstructed features\n{report.backbone}, "
        f"{settings.test_images} test images of {settings.dataset}{spread}",
        (*texts("stage", "features of"), *numbers(*(f"N = {depth}" for depth in depths))),
        *groups,
    )
