"""``edgeexit bench``: what a bundle takes on this device, beside what Eq. 5 says it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.backend_options import backend_options
from edgeexit.cli.bench_explanation import print_explanation
from edgeexit.cli.common import console, format_macs, progress_bar, status_console
from edgeexit.cli.tables import format_threshold

if TYPE_CHECKING:
    from edgeexit_runtime.timing import LatencySummary
    from rich.table import Table

    from edgeexit.bench import BenchImages, BenchOptions, BenchReport, Mixture

__all__ = ["bench_with_bar", "command", "print_report"]

PLAIN = "plain\nbackbone"
WIDE = 100  # columns; where there are fewer, numbers stand closer rather than cut off
LATENCIES = ("p50", "p90", "p95", "p99", "mean")


@click.command("bench")
@click.option(
    "--engine-dir",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle that 'edgeexit export' wrote.",
)
@click.option("--dataset", metavar="NAME", help="Run the test images of a data set.")
@click.option("--data-dir", type=click.Path(), help="Folder of the data set's files.")
@click.option("--download", is_flag=True, help="Fetch the data set where it is missing.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Run the images of a folder, in it or in class folders.",
)
@click.option(
    "--npz",
    type=click.Path(path_type=Path),
    help="Run a NumPy archive: images uint8 (N,H,W,C) or float32 (N,C,H,W), labels (N,).",
)
@click.option(
    "--samples",
    default=500,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many of the images, at most.",
)
@backend_options
@click.option(
    "--rounds",
    default=100,
    show_default=True,
    type=click.IntRange(min=1),
    help="Rounds of 5 calls of everything, and passes over the images, at most.",
)
@click.option(
    "--duration",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds after which no round and no pass begins; 10 rounds and 1 pass are always made.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Of the choice and order of images.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write everything, raw times included, to this file.",
)
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a picture, measured against Eq. 5: .png, .pdf or .svg.",
)
def command(
    engine_dir: Path,
    dataset: str | None,
    data_dir: str | None,
    download: bool,
    images: Path | None,
    npz: Path | None,
    samples: int,
    backend: str,
    providers: tuple[str, ...] | None,
    threads: int | None,
    rounds: int,
    duration: float,
    seed: int,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Time every stage, branch and exit path of a bundle beside the plain backbone, at batch 1.

    With images (of --dataset, --images or --npz) also the mixture: the images one by one at the
    bundle's thresholds, and the plain backbone on the same. All alternatives take turns within
    one run.

    \b
    Example:
      edgeexit bench --engine-dir out/ --dataset digits --json bench.json --plot bench.png
    """
    from edgeexit_runtime import load_manifest

    from edgeexit.bench import (
        BenchOptions,
        check_plot_path,
        images_from_dataset,
        images_from_folder,
        images_from_npz,
        plot_report,
        report_json,
    )
    from edgeexit.files import write_json

    if sum(source is not None for source in (dataset, images, npz)) > 1:
        raise click.UsageError("give one of --dataset, --images and --npz, or none of them")
    if (data_dir is not None or download) and dataset is None:
        raise click.UsageError("--data-dir and --download go with --dataset")
    if plot_file is not None:
        check_plot_path(plot_file)
    options = BenchOptions(
        backend=backend,
        providers=providers,
        threads=threads,
        rounds=rounds,
        duration_s=duration,
        seed=seed,
    )
    manifest = load_manifest(engine_dir)
    chosen = None
    if dataset is not None:
        from edgeexit.data import DataConfig  # imports torch

        chosen = images_from_dataset(
            DataConfig(dataset, data_dir, download=download), manifest, samples, seed
        )
    elif images is not None:
        chosen = images_from_folder(images, manifest, samples, seed)
    elif npz is not None:
        chosen = images_from_npz(npz, manifest, samples, seed)
    report = bench_with_bar(engine_dir, chosen, options)
    print_report(report)
    stderr = status_console()
    if json_file is not None:
        write_json(json_file, report_json(report))
        stderr.print(f"wrote {json_file}", soft_wrap=True)
    if plot_file is not None:
        plot_report(report, plot_file)
        stderr.print(f"wrote {plot_file}", soft_wrap=True)


def bench_with_bar(
    engine_dir: Path, images: BenchImages | None, options: BenchOptions
) -> BenchReport:
    """Measure a bundle, with a progress bar on stderr: see :func:`edgeexit.bench.run_bench`."""
    from edgeexit.bench import run_bench

    with progress_bar() as bar:
        task = bar.add_task("", total=1.0)
        return run_bench(
            engine_dir,
            images,
            options,
            lambda step, done: bar.update(task, description=step, completed=done),
        )


def print_report(report: BenchReport) -> None:
    """Print a benchmark's tables and what they come to, on stdout."""
    from edgeexit.bench import verdict

    out = console()
    bundle, device = report.bundle, report.device
    versions = ", ".join(f"{name} {version}" for name, version in device.versions.items())
    threads = "the backend's choice" if device.threads is None else str(device.threads)
    out.print(
        f"{bundle.label}, {bundle.num_classes} classes, input {bundle.input_size}, in "
        f"{bundle.folder}\n{device.cpu}, {device.cores} cores, {device.backend_device}, threads "
        f"per graph: {threads}\n{versions}"
    )
    out.print(_parts_table(report))
    out.print(_paths_table(report))
    if report.mixture is not None:
        out.print(_mixture_table(report.mixture))
    print_explanation(out, report)
    out.print(verdict(report))


def _parts_table(report: BenchReport) -> Table:
    table = _table("stages and branches alone, ms", "part", "", "MACs")
    for part in report.parts:
        cells = (part.name, part.kind, format_macs(part.macs))
        table.add_row(*cells, *_latency_cells(part.latency))
    return table


def _paths_table(report: BenchReport) -> Table:
    table = _table("exit paths, everyone made to leave there, ms", "path", "MACs", "Eq. 5")
    table.add_column("measured", justify="right")
    for path in (report.baseline, *report.paths):
        name = PLAIN if path is report.baseline else path.name
        cells = (name, format_macs(path.path_macs), f"{path.macs_ratio:.3f}")
        table.add_row(
            *cells,
            *_latency_cells(path.latency),
            f"{path.ratio:.3f}",
            end_section=path is report.baseline,
        )
    table.caption = "Eq. 5 and measured: ratio to the plain backbone, of MACs and of medians"
    return table


def _mixture_table(mixture: Mixture) -> Table:
    title = f"mixture: {mixture.samples} images of {mixture.source} at the bundle's thresholds, ms"
    table = _table(title, "leaving at", "threshold", "share", "accuracy")
    for exit_ in mixture.exits:
        cells = (exit_.name, format_threshold(exit_.threshold), f"{exit_.share:.1%}")
        table.add_row(*cells, _accuracy(exit_.accuracy), *_latency_cells(exit_.latency))
    table.add_section()
    table.add_row("all", "", "", _accuracy(mixture.accuracy), *_latency_cells(mixture.latency))
    table.add_row(
        PLAIN,
        "",
        "",
        _accuracy(mixture.baseline_accuracy),
        *_latency_cells(mixture.baseline_latency),
    )
    table.caption = (
        f"ratio of means to the plain backbone on the same images: measured {mixture.ratio:.3f}, "
        f"Eq. 5 {mixture.macs_ratio:.3f}"
    )
    return table


def _table(title: str, first: str, *headings: str) -> Table:
    from rich.table import Table

    narrow = console().width < WIDE
    table = Table(title=title, padding=(0, 0 if narrow else 1))
    table.add_column(first)
    for heading in (*headings, *LATENCIES, "calls"):
        table.add_column(heading, justify="right")
    return table


def _latency_cells(latency: LatencySummary | None) -> list[str]:
    if latency is None:
        return ["-"] * (len(LATENCIES) + 1)
    values = [getattr(latency, f"{name}_ms") for name in LATENCIES]
    return [*(f"{value:.3f}" for value in values), str(latency.count)]


def _accuracy(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction:.4f}"
