"""``edgeexit bench``: measured time and energy of a bundle, beside the cost that Eq. 5 predicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cli.inputs.bench_images import ImageOptions, choose_images, image_options
from edgeexit.cli.options.backend import BackendOptions, backend_options
from edgeexit.cli.options.bench import (
    MeasureOptions,
    backends_option,
    compared_options,
    details_option,
    length_options,
    saved_options,
)
from edgeexit.cli.options.shared import (
    SectionedCommand,
    all_but,
    engine_dir_option,
    refuse,
    section,
    taken,
)
from edgeexit.cli.output.bench import print_comparison, print_details, print_summary
from edgeexit.cli.output.bench_files import ReportFiles, report_file_options
from edgeexit.cli.terminal import console, remark, shown_progress

if TYPE_CHECKING:
    from edgeexit.bench import BenchOptions, BenchReport

NOTHING = "which measures nothing"


@click.command("bench", cls=SectionedCommand)
@section("Bundle", engine_dir_option(), backend_options, backends_option)
@section("Images", image_options)
@section("Comparisons and scenarios", compared_options)
@section("Length and seed", length_options)
@section("Results", report_file_options, details_option)
@section("Saved reports", saved_options)
def command(
    engine_dir: Path,
    device: str | None,
    report_file: Path | None,
    compare: tuple[Path, Path] | None,
    details: bool,
    **values: Any,
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
    files, backend = taken(ReportFiles, values), taken(BackendOptions, values)
    options, images = taken(MeasureOptions, values), ImageOptions(**values)
    if compare is not None:
        _compare(*compare, details, files)
        return
    files.check()
    if report_file is not None:
        report = _saved(report_file)
    else:
        report = _measured(engine_dir, images, options.chosen(backend, device))
    show = print_details if details else print_summary
    show(report, console())
    files.write(report)


def _compare(first: Path, second: Path, details: bool, files: ReportFiles) -> None:
    """Print how two saved reports differ, and write the comparison as JSON if a file is named."""
    from edgeexit.bench import load_report
    from edgeexit.bench.compare.compare import compare_reports
    from edgeexit.bench.render.comparison import comparison_verdict
    from edgeexit.files import write_json

    refuse(all_but("compare", "json_file", "details"), f"does not go with --compare, {NOTHING}")
    files.check_named()
    comparison = compare_reports(load_report(first), load_report(second), (str(first), str(second)))
    print_comparison(comparison, details, console())
    if files.json_file is not None:
        value = {"verdict": comparison_verdict(comparison), **encode(comparison)}
        write_json(files.json_file, value)
        remark(f"wrote {files.json_file}")


def _saved(file: Path) -> BenchReport:
    from edgeexit.bench import load_report

    others = all_but("report_file", "plot_file", "html_file", "details")
    refuse(others, f"does not go with --report, {NOTHING}")
    return load_report(file)


def _measured(engine_dir: Path, images: ImageOptions, options: BenchOptions) -> BenchReport:
    from edgeexit_runtime import load_manifest

    from edgeexit.bench import run_bench

    images.check()
    chosen = choose_images(engine_dir, load_manifest(engine_dir), images, options.seed)
    with shown_progress("") as progress:
        return run_bench(engine_dir, chosen, options, progress)
