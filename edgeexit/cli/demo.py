"""``edgeexit demo``: the whole workflow on real images, using the ordinary commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.options.fields import FOLDER
from edgeexit.cli.terminal import console, print_table
from edgeexit.formats import Table, format_command, format_macs, format_threshold, named_numbers

if TYPE_CHECKING:
    from edgeexit.bench import BenchReport, Run
    from edgeexit.evaluation import AdaptiveReport

RECIPE = (
    *("--backbone", "resnet20", "--dataset", "digits"),
    *("--epochs", "8", "--batch-size", "32", "--lr", "0.03"),
)
PRECISIONS = ("fp32", "fp16", "int8")
CALIBRATION_IMAGES = 100
# one thread, as in the documentation: INT8 graphs as small as these do not profit from more
BENCH = ("--duration", "3", "--threads", "1")


def run_shown(*words: object) -> None:
    """Print a command of edgeexit, then run it."""
    from edgeexit.cli import main

    click.secho(f"\n$ {format_command(*words)}", bold=True)
    main.main([str(word) for word in words], prog_name="edgeexit", standalone_mode=False)


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo's steps and their options.

    Attributes:
        folder: output folder.
        recipe, bench: options of train and of bench.
        int8: additional options of export to INT8.
        run: runs a command of edgeexit, given its words.
    """

    folder: Path
    recipe: tuple[str, ...] = RECIPE
    bench: tuple[str, ...] = BENCH
    int8: tuple[str, ...] = ()
    run: Callable[..., None] = run_shown

    @property
    def branched(self) -> Path:
        return self.folder / "resnet20_3+1"

    @property
    def plain(self) -> Path:
        return self.folder / "resnet20"

    @property
    def tuned(self) -> Path:
        return self.branched / "ckpt.tuned.pt"

    @property
    def calibration(self) -> Path:
        return self.folder / "calibration.npy"

    def bundle(self, precision: str) -> Path:
        return self.folder / f"bundle_{precision}"

    def report(self, precision: str, ending: str = "json") -> Path:
        return self.folder / f"bench_{precision}.{ending}"

    def make(self) -> None:
        """Train, tune, export and benchmark what is missing, and print a summary."""
        self.check_unused()
        trained = self.branched / "ckpt.pt"
        self.train(self.branched, "--branches", "3+1", "--distill", "wed")
        self.train(self.plain, "--branches", "none")
        self.run_once(self.tuned, trained, "tune", trained, "--max-drop", 0)
        self.keep_calibration_images()
        for precision in PRECISIONS:
            bundle, report = self.bundle(precision), self.report(precision)
            manifest = bundle / "manifest.json"
            more = self.quantized if precision == "int8" else ()
            export = ("export", self.tuned, "--precision", precision, "-o", bundle, *more)
            self.run_once(manifest, self.tuned, *export)
            written = ("--json", report, "--html", self.report(precision, "html"))
            bench = ("bench", "--engine-dir", bundle, *self.bench, *written)
            self.run_once(report, manifest, *bench)
        _summarize(self)

    @property
    def quantized(self) -> tuple[object, ...]:
        """Options of export to INT8, including the calibration images."""
        from edgeexit.export.int8.targets.cpu_7bit import target_of_this_cpu

        return "--calibration-data", self.calibration, "--target", target_of_this_cpu(), *self.int8

    def check_unused(self) -> None:
        """Refuse a folder with other files, which the demo could overwrite."""
        from edgeexit.errors import WriteError

        folder = self.folder
        if folder.is_dir() and any(folder.iterdir()) and not self.branched.is_dir():
            raise WriteError(f"{folder}: holds other files and no demo; choose another -o")

    def train(self, folder: Path, *options: object) -> None:
        """Train, or resume; the command itself reports a run that is already finished."""
        if (folder / "last.pt").is_file():
            self.run("train", "--resume", "-o", folder)
        else:
            self.run("train", *self.recipe, *options, "-o", folder)

    def run_once(self, target: Path, source: Path, *words: object) -> None:
        """Run a command unless its result exists and is not older than its source."""
        if target.is_file() and target.stat().st_mtime >= source.stat().st_mtime:
            click.secho(f"\n{target} exists: not made again", bold=True)
        else:
            self.run(*words)

    def keep_calibration_images(self) -> None:
        """Write training images for INT8 calibration, unless they exist."""
        import numpy as np

        from edgeexit.data import load_data
        from edgeexit.training import load_checkpoint

        if self.calibration.is_file():
            return
        split = load_data(load_checkpoint(self.tuned).data).splits["train"]
        images = np.stack([split[place][0].numpy() for place in range(CALIBRATION_IMAGES)])
        np.save(self.calibration, images)


@click.command("demo")
@click.option(
    "-o",
    "--output",
    default="demo",
    show_default=True,
    type=FOLDER,
    help="Folder for everything that the demo makes.",
)
def command(output: Path) -> None:
    """Train, tune, export and benchmark a small network on handwritten digits, in minutes.

    ResNet-20 with branches 3+1 on the 1,797 images of scikit-learn, compared with the plain
    backbone. Each step prints the command that it runs. A second run skips finished steps.

    \b
    Example:
      edgeexit demo -o demo/
    """
    Demo(output).make()


def _summarize(demo: Demo) -> None:
    from edgeexit_runtime.bundle.schema import decode

    from edgeexit.bench import load_report, plot_reports, verdict
    from edgeexit.evaluation import AdaptiveReport
    from edgeexit.training import load_checkpoint

    picture = demo.folder / "bench.png"
    reports = [load_report(demo.report(precision)) for precision in PRECISIONS]
    plot_reports(reports, picture)
    tuned = load_checkpoint(demo.tuned)
    adaptive = decode(AdaptiveReport, tuned.metrics["tuning"]["test"])
    out = console()
    click.secho("\nSummary", bold=True)
    print_table(_table(adaptive, _plain_accuracy(demo), reports), out)
    for report in reports:
        precision = report.bundle.precision
        out.print(f"{precision}: {verdict(report)}")
        out.print(f"{precision}: {_agreement(demo.bundle(precision))}")
    out.print(
        f"thresholds chosen on val, everything above measured on {adaptive.samples} test images; "
        "MACs are multiply-accumulates, which the paper calls FLOPs"
    )
    out.print(f"picture, measured against Eq. 5: {picture}")
    out.print(f"network: {demo.tuned}")
    for precision in PRECISIONS:
        out.print(f"{precision} bundle: {demo.bundle(precision)}")
        out.print(f"{precision} report, for a browser: {demo.report(precision, 'html')}")


def _agreement(bundle: Path) -> str:
    """Return a sentence on how the bundle's answers agreed with the network's at export."""
    from edgeexit_runtime import load_manifest

    proof = load_manifest(bundle).verification
    return (
        f"{proof['equal_answers']:.1%} of {proof['samples']} validation images get the FP32 "
        "network's label from its exit"
    )


def _plain_accuracy(demo: Demo) -> float:
    """Return the test accuracy of the plain backbone that was trained the same way."""
    from edgeexit.data import load_data
    from edgeexit.evaluation import predict
    from edgeexit.training import load_checkpoint

    checkpoint = load_checkpoint(demo.plain / "ckpt.pt")
    predictions = predict(checkpoint.build(), load_data(checkpoint.data).splits["test"])
    return float(predictions.correct[-1].mean())


def _table(adaptive: AdaptiveReport, plain_accuracy: float, reports: list[BenchReport]) -> Table:
    columns = named_numbers(
        *("", "threshold", "accuracy", "leave\nhere", "MACs\n(Eq. 5)", "ratio"),
        *(heading for it in reports for heading in (f"{it.bundle.precision}\nms", "ratio")),
    )
    paths = []
    for index, exit_ in enumerate(adaptive.exits):
        timed = [report.paths[index] for report in reports]
        paths.append(
            (
                exit_.name,
                format_threshold(exit_.threshold),
                f"{exit_.accuracy:.4f}",
                f"{exit_.share:.1%}",
                *_macs_cells(timed[0].path_macs, adaptive.baseline_macs),
                *_time_cells([(path.latency.p50_ms, path.ratio) for path in timed]),
            )
        )
    mixtures = [report.mixture for report in reports if report.mixture is not None]
    means = [
        (
            *("early exit", "", f"{adaptive.adaptive_accuracy:.4f}", ""),
            *_macs_cells(adaptive.average_macs, adaptive.baseline_macs),
            *_mean_cells([mixture.early_exit for mixture in mixtures]),
        ),
        (
            *("plain backbone", "", f"{plain_accuracy:.4f}", ""),
            *_macs_cells(adaptive.baseline_macs, adaptive.baseline_macs),
            *_mean_cells([mixture.baseline for mixture in mixtures]),
        ),
    ]
    return Table.of(
        "ResNet-20 with branches 3+1 on handwritten digits",
        columns,
        paths,
        means,
        notes=[
            "exits: accuracy over all images, and the median of the path that ends there; below: "
            "means over the images. Ratios are to the plain backbone, measured in the same run."
        ],
    )


def _macs_cells(macs: float, baseline: int) -> tuple[str, str]:
    return format_macs(macs), f"{macs / baseline:.3f}"


def _mean_cells(runs: list[Run]) -> list[str]:
    return _time_cells([(run.latency.mean_ms, run.ratio.value) for run in runs])


def _time_cells(timings: list[tuple[float, float]]) -> list[str]:
    return [f"{number:.3f}" for timing in timings for number in timing]
