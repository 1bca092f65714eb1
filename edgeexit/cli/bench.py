"""``edgeexit bench``: measured time and energy of a bundle, beside the cost that Eq. 5 predicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cli.inputs.bench_images import ImageOptions, choose_images
from edgeexit.cli.options.backend import BundleBackendOptions
from edgeexit.cli.options.bench import MeasureOptions, SavedOptions
from edgeexit.cli.options.fields import SectionedCommand, flag, takes
from edgeexit.cli.options.shared import all_but, engine_dir_option, refuse
from edgeexit.cli.output.bench import print_comparison, print_details, print_summary
from edgeexit.cli.output.bench_files import ReportFiles
from edgeexit.cli.terminal import console, remark, shown_progress

if TYPE_CHECKING:
    from edgeexit.bench import BenchOptions, BenchReport

NOTHING = "which measures nothing"


@dataclass(frozen=True, slots=True)
class BundleFolder:
    """The bundle."""

    engine_dir: Path = engine_dir_option()


@dataclass(frozen=True, slots=True)
class ResultOptions(ReportFiles):
    """The files to write, and how much is printed."""

    details: bool = flag(
        "Also print stages and branches, roofline, every reason and the linear model; for "
        "--compare, all ratios. The page and the JSON always have them."
    )


@click.command("bench", cls=SectionedCommand)
@takes(BundleFolder, "Bundle")
@takes(BundleBackendOptions)
@takes(ImageOptions, "Images")
@takes(MeasureOptions, "Comparisons and scenarios")
@takes(ResultOptions, "Results")
@takes(SavedOptions, "Saved reports")
def command(
    bundle: BundleFolder,
    backend: BundleBackendOptions,
    images: ImageOptions,
    options: MeasureOptions,
    results: ResultOptions,
    saved: SavedOptions,
) -> None:
    """Time every stage, branch and exit path of a bundle beside the plain backbone, at batch 1.

    Real images, by default test images of the bundle's data set if available, are also run one by
    one: at the bundle's thresholds, with each exit switched off, through the plain backbone, and
    through the model of --versus. Early exit is compared with that model at its accuracy, too:
    thresholds that reach it are chosen on half of the images and evaluated on the other half. All
    candidates are interleaved within one run.

    The report explains why measured ratios differ from Eq. 5's: bytes, utilization, gate and
    copies, session. If images have labels, it says which exits to keep, at which thresholds.

    \b
    Examples:
      edgeexit bench --engine-dir out/
      edgeexit bench --engine-dir out/ --json --html
      edgeexit bench --engine-dir out/ --versus small.onnx --threads 1
      edgeexit bench --engine-dir out/ --backends all
      edgeexit bench --engine-dir out/ --images photos/ --scenario all --qps 50
      edgeexit bench --report report.json --plot bench.png
      edgeexit bench --compare nano.json orin.json
    """
    from edgeexit.bench import load_report

    if saved.compare is not None:
        _compare(*saved.compare, results)
        return
    results.check()
    if saved.report is not None:
        others = all_but("report", "plot_file", "html_file", "details")
        refuse(others, f"does not go with --report, {NOTHING}")
        report = load_report(saved.report)
    else:
        report = _measured(bundle.engine_dir, images, options.chosen(backend))
    show = print_details if results.details else print_summary
    show(report, console())
    results.write(report)


def _compare(first: Path, second: Path, results: ResultOptions) -> None:
    """Print how two saved reports differ, and write the comparison as JSON if a file is named."""
    from edgeexit.bench import load_report
    from edgeexit.bench.compare.compare import compare_reports
    from edgeexit.bench.render.comparison import comparison_verdict
    from edgeexit.files import write_json

    refuse(all_but("compare", "json_file", "details"), f"does not go with --compare, {NOTHING}")
    results.check_named()
    comparison = compare_reports(load_report(first), load_report(second), (str(first), str(second)))
    print_comparison(comparison, results.details, console())
    if results.json_file is not None:
        value = {"verdict": comparison_verdict(comparison), **encode(comparison)}
        write_json(results.json_file, value)
        remark(f"wrote {results.json_file}")


def _measured(engine_dir: Path, images: ImageOptions, options: BenchOptions) -> BenchReport:
    from edgeexit_runtime import load_manifest

    from edgeexit.bench import run_bench

    images.check()
    chosen = choose_images(engine_dir, load_manifest(engine_dir), images, options.seed)
    with shown_progress("") as progress:
        return run_bench(engine_dir, chosen, options, progress)
