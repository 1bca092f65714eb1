"""``edgeexit bench``: what a bundle takes on this device, beside what Eq. 5 says it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from edgeexit_runtime.backends import BACKENDS
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cli.inputs.bench_images import ImageOptions, choose_images, image_options
from edgeexit.cli.options import typed
from edgeexit.cli.options.backend import BackendOptions, backend_options
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
    from edgeexit.bench import BenchImages, BenchOptions, BenchReport

ALL = "all"
NOTHING = "which measures nothing"


def _some_of(known: Callable[[], Iterable[str]]) -> Callable[[str], tuple[str, ...]]:
    """Return what reads some of these names, ``single-stream,offline``, or ``all`` alone.

    What a name has behind a colon is for who uses it.
    """

    def read(text: str) -> tuple[str, ...]:
        names, possible = typed.names(text), tuple(known())
        for name in names:
            if name.partition(":")[0] not in possible and name != ALL:
                raise click.BadParameter(f"expected {', '.join(possible)} or {ALL}, got {name!r}")
        return (ALL,) if ALL in names else names

    return read


def _scenarios() -> tuple[str, ...]:
    from edgeexit.bench.results.scenarios import SCENARIOS

    return SCENARIOS


@click.command("bench", cls=SectionedCommand)
@section(
    "Bundle",
    engine_dir_option(),
    backend_options,
    click.option(
        "--backends",
        metavar="B1,B2|all",
        type=_some_of(lambda: BACKENDS),
        help="Compare backends in the same run, and say which to load: these, onnxruntime:1 for "
        "one with one thread; or all that run the bundle here, on the CPU with one thread too. All "
        "else is of --backend.",
    ),
)
@section("Images", image_options)
@section(
    "What else is measured",
    click.option(
        "--versus",
        type=click.Path(path_type=Path),
        help="Compare with another bundle, or a plain .onnx classifier: one input float32 "
        "(N,C,H,W), normalized as the bundle's, one output logits (N,K); same input size and "
        "classes. Another precision of the same network shows what it gains.",
    ),
    click.option(
        "--scenario",
        "scenarios",
        metavar="S1,S2|all",
        type=_some_of(_scenarios),
        help="MLPerf's: single-stream, multi-stream (queries of 8 images), offline (images per "
        "second), or all.",
    ),
    click.option(
        "--qps",
        type=click.FloatRange(min=0, min_open=True),
        help="MLPerf's server: so many queries per second arrive on average, for --duration, "
        "whether the last one is answered or not.",
    ),
)
@section(
    "How long",
    click.option(
        "--rounds",
        default=100,
        show_default=True,
        type=click.IntRange(min=1),
        help="Rounds of 5 calls of everything, and passes over the images, at most.",
    ),
    click.option(
        "--duration",
        default=10.0,
        show_default=True,
        type=click.FloatRange(min=0, min_open=True),
        help="Seconds after which no round and no pass begins; 10 rounds and 1 pass are always "
        "made.",
    ),
    click.option(
        "--warm-up",
        default=10.0,
        show_default=True,
        type=click.FloatRange(min=0),
        help="Seconds of untimed rounds at most; they end when the device is at its speed.",
    ),
    click.option(
        "--seed",
        default=0,
        show_default=True,
        type=click.IntRange(min=0),
        help="Of the choice and order of images, and of arrivals.",
    ),
)
@section(
    "Results",
    report_file_options,
    click.option(
        "--details",
        is_flag=True,
        help="Print stages and branches, roofline, every reason and the linear model too, of "
        "--compare all ratios; the page and the JSON always have them.",
    ),
)
@section(
    "Saved results; nothing is measured",
    click.option(
        "--report",
        "report_file",
        type=click.Path(path_type=Path),
        help="Measure nothing: show a report of --json again, with --plot and --html.",
    ),
    click.option(
        "--compare",
        nargs=2,
        metavar="A.json B.json",
        type=click.Path(path_type=Path),
        help="Measure nothing: set two reports of --json side by side.",
    ),
)
def command(
    engine_dir: Path,
    device: str | None,
    backends: tuple[str, ...] | None,
    rounds: int,
    duration: float,
    warm_up: float,
    seed: int,
    versus: Path | None,
    scenarios: tuple[str, ...] | None,
    qps: float | None,
    report_file: Path | None,
    compare: tuple[Path, Path] | None,
    details: bool,
    **values: Any,
) -> None:
    """Time every stage, branch and exit path of a bundle beside the plain backbone, at batch 1.

    With images, test images of the bundle's data set where it is here, also the mixture: the images
    one by one at the bundle's thresholds, with each exit switched off, the plain backbone, and what
    --versus names, also at its accuracy: thresholds that reach it are chosen on half of the images
    and judged on the other half. All alternatives take turns within one run.

    Then it says why measured ratios are not Eq. 5's: bytes, utilization, gate and copies, session;
    and, where images have labels, which exits to keep and which thresholds to take.

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
    show = print_details if details else print_summary
    files, backend = taken(ReportFiles, values), taken(BackendOptions, values)
    if compare is not None:
        refuse(all_but("compare", "json_file", "details"), f"does not go with --compare, {NOTHING}")
        files.check_named()
        _compare(*compare, details, files.json_file)
        return
    from edgeexit_runtime import load_manifest

    from edgeexit.bench import BenchOptions, load_report

    files.check()
    if report_file is not None:
        others = all_but("report_file", "plot_file", "html_file", "details")
        refuse(others, f"does not go with --report, {NOTHING}")
        saved = load_report(report_file)
        show(saved, console())
        files.write(saved)
        return
    images = ImageOptions(**values)
    images.check()
    options = BenchOptions(
        **backend.chosen(device),
        backends=backends or (),
        rounds=rounds,
        duration_s=duration,
        warm_up_s=warm_up,
        seed=seed,
        versus=None if versus is None else str(versus),
        scenarios=tuple(it for it in _scenarios() if scenarios and {it, ALL} & {*scenarios}),
        qps=qps,
    )
    manifest = load_manifest(engine_dir)
    chosen = choose_images(engine_dir, manifest, images, seed)
    report = bench_with_bar(engine_dir, chosen, options)
    show(report, console())
    files.write(report)


def _compare(first: Path, second: Path, details: bool, json_file: Path | None) -> None:
    """Print how two saved reports differ, and write it as JSON where a file is named."""
    from edgeexit.bench import load_report
    from edgeexit.bench.compare.compare import compare_reports
    from edgeexit.bench.render.comparison import comparison_verdict
    from edgeexit.files import write_json

    comparison = compare_reports(load_report(first), load_report(second), (str(first), str(second)))
    print_comparison(comparison, details, console())
    if json_file is not None:
        write_json(json_file, {"verdict": comparison_verdict(comparison), **encode(comparison)})
        remark(f"wrote {json_file}")


def bench_with_bar(
    engine_dir: Path, images: BenchImages | None, options: BenchOptions
) -> BenchReport:
    """Measure a bundle, with a progress bar on stderr: see :func:`edgeexit.bench.run_bench`."""
    from edgeexit.bench import run_bench

    with shown_progress("") as progress:
        return run_bench(engine_dir, images, options, progress)
