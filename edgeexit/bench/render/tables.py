"""Tables of measurements: the summary, parts, paths, the mixture, and energy."""

from __future__ import annotations

from edgeexit_runtime.gate import NEVER
from edgeexit_runtime.timing.calls import LatencySummary

from edgeexit.bench.render.latencies import (
    LATENCY_HEADINGS,
    few_note,
    latency_cells,
    percentile_cells,
    percentile_note,
)
from edgeexit.bench.render.setup import device_text
from edgeexit.bench.results.energy import Energy
from edgeexit.bench.results.mixture import (
    BACKEND,
    BASELINE_NAME,
    EARLY_EXIT,
    ISO_ACCURACY,
    VERSUS,
    Mixture,
)
from edgeexit.bench.results.report import BenchReport
from edgeexit.bench.results.timings import PathTiming
from edgeexit.formats import (
    Row,
    Table,
    format_fraction,
    format_macs,
    format_threshold,
    named_numbers,
)


def summary_table(report: BenchReport) -> Table:
    """Return one row per exit path, for early exit as a whole, and for models compared with it."""
    mixture = report.mixture
    shares: dict[str, str] = {}
    runs: list[Row] = []
    images = ""
    if mixture is not None:
        images = f"; early exit: {mixture.samples} images of {mixture.source}"
        shares = {exit_.name: f"{exit_.share:.1%}" for exit_ in mixture.exits}
        for run in mixture.runs:
            if run.role in (EARLY_EXIT, VERSUS, ISO_ACCURACY, BACKEND):
                macs_ratio = f"{mixture.macs_ratio:.3f}" if run.role == EARLY_EXIT else ""
                measured = run.latency, macs_ratio, run.ratio.value
                runs.append(_summary_row(run.label, "", *measured, mixture.samples))
    paths = [
        _summary_row(
            path.name, shares.get(path.name, ""), path.latency, f"{path.macs_ratio:.3f}", path.ratio
        )
        for path in report.paths
    ]
    return Table.of(
        f"one image at a time{images}",
        named_numbers(
            "path", "leave\nhere", "p50\nms", "p99\nms", "Eq. 5\nratio", "measured\nratio"
        ),
        [_summary_row(BASELINE_NAME, "", report.baseline.latency, "1.000", 1.0), *paths],
        runs,
        notes=[_off_note(report), device_text(report.device)],
    )


def _summary_row(
    name: str,
    leaving: str,
    latency: LatencySummary,
    macs_ratio: str,
    ratio: float,
    different: int | None = None,
) -> Row:
    p50, _, _, p99, *_ = latency_cells(latency, different)
    return name, leaving, p50, p99, macs_ratio, f"{ratio:.3f}"


def parts_table(report: BenchReport) -> Table:
    """Return one row per stage and branch."""
    return Table.of(
        "stages and branches alone, ms",
        named_numbers("part", "", "MACs", *LATENCY_HEADINGS),
        (
            (part.name, part.kind, format_macs(part.macs), *latency_cells(part.latency))
            for part in report.parts
        ),
        notes=[few_note([part.latency.count for part in report.parts], "calls")],
    )


def paths_table(report: BenchReport) -> Table:
    """Return one row per exit path, the baseline first."""
    return Table.of(
        "exit paths, every image forced to leave there, ms",
        named_numbers("path", "MACs", "Eq. 5", *LATENCY_HEADINGS, "measured"),
        [_path_row(BASELINE_NAME, report.baseline)],
        (_path_row(path.name, path) for path in report.paths),
        notes=[
            "Eq. 5 and measured: ratio to the plain backbone, of MACs and of medians.",
            _off_note(report),
            few_note([report.baseline.latency.count], "calls"),
        ],
    )


def _off_note(report: BenchReport) -> str:
    """Explain why early exit may cost less than each of the paths; empty if no exit is off."""
    off = [name for name, value in report.bundle.thresholds.items() if value == NEVER]
    return (
        f"Paths include the branches of exits that are switched off: {', '.join(off)}"
        if off
        else ""
    )


def _path_row(name: str, path: PathTiming) -> Row:
    costs = format_macs(path.path_macs), f"{path.macs_ratio:.3f}"
    return name, *costs, *latency_cells(path.latency), f"{path.ratio:.3f}"


def mixture_table(mixture: Mixture) -> Table:
    """Return one row per exit; :func:`runs_table` has early exit as a whole."""
    counts = mixture.images_at
    return Table.of(
        f"early exit: {mixture.samples} images of {mixture.source} at the bundle's thresholds, ms",
        named_numbers("leaving at", "threshold", "share", "accuracy", *LATENCY_HEADINGS),
        (
            (
                exit_.name,
                format_threshold(exit_.threshold),
                f"{exit_.share:.1%}",
                format_fraction(exit_.accuracy),
                *latency_cells(exit_.latency, count),
            )
            for exit_, count in zip(mixture.exits, counts, strict=True)
        ),
        notes=[few_note([count for count in counts if count], "different images")],
    )


def runs_table(mixture: Mixture) -> Table:
    """Return one row per candidate of the mixture, the baseline and early exit first."""
    rows = [
        (
            run.label,
            format_fraction(run.accuracy),
            f"{run.latency.mean_ms:.3f}",
            f"{run.ratio.value:.3f}",
            *percentile_cells(run.percentiles),
        )
        for run in mixture.runs
    ]
    return Table.of(
        f"the same {mixture.samples} images, candidates interleaved, ms",
        named_numbers("", "accuracy", "mean", "ratio", "p50", "p90", "p99"),
        rows[:2],
        rows[2:],
        notes=[
            "ratio of means to the plain backbone. "
            + percentile_note(mixture.early_exit.percentiles)
        ],
    )


def energy_table(energy: Energy) -> Table:
    """Return one row per candidate, and one for the idle device."""
    sensors = ", ".join(f"{sensor.kind} {sensor.name}" for sensor in energy.sensors)
    return Table.of(
        f"energy on {energy.source}, one by one",
        named_numbers(
            *("", "mean\nW", "per sample\nmJ", "lowest to highest\nturn, mJ", "above idle\nmJ"),
            "turns",
        ),
        (
            (
                run.name,
                f"{run.power_w:.2f}",
                f"{1e3 * run.sample_j:.3f}",
                f"{1e3 * run.sample_min_j:.3f} to {1e3 * run.sample_max_j:.3f}",
                f"{1e3 * run.above_idle_j:.3f}",
                str(len(run.turns)),
            )
            for run in energy.runs
        ),
        [("idle", f"{energy.idle_w or 0:.2f}", "", "", "", str(len(energy.idle_turns)))],
        notes=[f"of {sensors}; everything that they measure, including other load"],
    )
