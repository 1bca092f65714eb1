"""``edgeexit consistency``: how branches changed a backbone, as in the paper's Figs. 12 and 13."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.inputs.samples import SampleOptions, load_samples
from edgeexit.cli.options import typed
from edgeexit.cli.options.fields import (
    FOLDER,
    PATH,
    SectionedCommand,
    argument,
    flag,
    option,
    takes,
)
from edgeexit.cli.options.shared import (
    ABOVE_0,
    AT_LEAST_0,
    AT_LEAST_1,
    AT_LEAST_2,
    import_model,
    model_option,
    output_option,
)
from edgeexit.cli.terminal import print_json, print_table, remark
from edgeexit.formats import Table, numbers, texts

if TYPE_CHECKING:
    from edgeexit.paper.consistency import ConsistencyReport, StudyOptions

GIB = 2**30
ENDINGS = ("json", "csv", "png", "pdf")
FIT_OPTIONS = ("epochs", "lr", "momentum", "weight_decay", "seed")


@dataclass(frozen=True, slots=True)
class ConsistencyOptions:
    """The networks and the study of them."""

    baseline: Path = argument("BASELINE_CKPT", type=PATH)
    paths: tuple[Path, ...] = argument("BRANCHED_CKPT...", nargs=-1, required=True, type=PATH)
    depths: tuple[int, ...] = option(
        "Numbers N of non-linear layers, Eq. 4.", default="0,1,2,3", type=typed.depths
    )
    runs: int = option("Fits per network, stage and N.", default=3, type=AT_LEAST_1)
    control: bool = flag(
        "Also fit the first network with its features shuffled across images: the chance "
        "level of accuracy."
    )
    epochs: int = option(
        "Passes over the training images in a fit.",
        section="Training of reconstructions",
        default=10,
        type=AT_LEAST_1,
    )
    lr: float = option("Learning rate, x0.1 every 3 epochs.", default=0.01, type=ABOVE_0)
    fit_batch_size: int = option("Images per step.", default=64, type=AT_LEAST_2)
    momentum: float = option(
        "Momentum of SGD.", default=0.9, type=click.FloatRange(0, 1, max_open=True)
    )
    weight_decay: float = option("Weight decay of SGD.", default=1e-4, type=click.FloatRange(min=0))
    seed: int = option("Random seed of all fits.", default=0, type=AT_LEAST_0)
    model: str | None = model_option(section="Networks and data")
    cache_gib: float = option(
        "Memory for features; others are recomputed.", default=2.0, type=click.FloatRange(min=0)
    )

    def study(self) -> StudyOptions:
        """Return the options of :func:`edgeexit.study_consistency`."""
        from edgeexit.paper.consistency import FitSettings, StudyOptions

        fit = {name: getattr(self, name) for name in FIT_OPTIONS}
        try:  # nan and inf are numbers to click
            settings = FitSettings(batch_size=self.fit_batch_size, **fit)
            cache = self.cache_gib * GIB
            return StudyOptions(self.depths, self.runs, settings, self.control, cache)
        except ValueError as error:
            raise click.UsageError(str(error)) from error


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """Where the results go."""

    output: Path = output_option(
        "Folder for consistency.json, .csv, .png and .pdf; finished fits there are kept.",
        default=Path("consistency"),
        type=FOLDER,
    )
    as_json: bool = flag("Print JSON.", "--json")


@click.command("consistency", cls=SectionedCommand)
@takes(ConsistencyOptions, "Study")
@takes(SampleOptions)
@takes(ResultOptions, "Output")
def command(options: ConsistencyOptions, samples: SampleOptions, results: ResultOptions) -> None:
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
    study, output = options.study(), results.output
    _check_output(output)
    report = _study((options.baseline, *options.paths), samples, study, output, options.model)
    _write(report, output)
    if results.as_json:
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
