"""Two benchmarks side by side: two devices, precisions or versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgeexit.bench.compare.figures import (
    ComparedFigure,
    energy_figures,
    mixture_figures,
    path_figures,
    scenario_figures,
)
from edgeexit.bench.results.report import BenchReport
from edgeexit.errors import InputError
from edgeexit.formats import format_guarantee, format_threshold

NOTHING = "-"


@dataclass(frozen=True, slots=True)
class SetupDifference:
    """One thing that is not the same, in words."""

    what: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class ReportComparison:
    """What two reports say of each other.

    Attributes:
        first, second: names of the reports.
        differences: between their set-ups, the most telling first.
        warnings: why the comparison may not mean what it seems to, one sentence each.
        left_out: what only one of them has, or cannot be compared, one sentence each.
        figures: that both have.
    """

    first: str
    second: str
    differences: tuple[SetupDifference, ...]
    warnings: tuple[str, ...]
    left_out: tuple[str, ...]
    figures: tuple[ComparedFigure, ...]


def compare_reports(
    first: BenchReport, second: BenchReport, names: tuple[str, str] = ("first", "second")
) -> ReportComparison:
    """Compare two reports.

    Args:
        first, second: what to compare; ratios are the second over the first.
        names: of the two, such as their files.

    Raises:
        InputError: the networks have different classes.
    """
    check_comparable(first, second)
    left_out: list[str] = []
    figures = [
        *path_figures(first, second, left_out),
        *mixture_figures(first, second, left_out),
        *scenario_figures(first, second, left_out),
        *energy_figures(first.energy, second.energy, left_out),
    ]
    return ReportComparison(
        first=names[0],
        second=names[1],
        differences=setup_differences(first, second),
        warnings=tuple(comparison_warnings(first, second)),
        left_out=tuple(left_out),
        figures=tuple(figures),
    )


def check_comparable(first: BenchReport, second: BenchReport) -> None:
    """Raise InputError where the two networks do not answer the same question."""
    counts = first.bundle.num_classes, second.bundle.num_classes
    if counts[0] != counts[1]:
        raise InputError(
            f"{first.bundle.label} and {second.bundle.label} cannot be compared: expected networks "
            f"for the same classes, got {counts[0]} and {counts[1]} classes; benchmark two bundles "
            "of the same task"
        )


def setup_differences(first: BenchReport, second: BenchReport) -> tuple[SetupDifference, ...]:
    """Return what differs, the most telling first: network, precision, device, versions."""
    one, other = dict(setup_facts(first)), dict(setup_facts(second))
    return tuple(
        SetupDifference(what, one.get(what, NOTHING), other.get(what, NOTHING))
        for what in dict.fromkeys((*one, *other))
        if one.get(what, NOTHING) != other.get(what, NOTHING)
    )


def setup_facts(report: BenchReport) -> Iterator[tuple[str, str]]:
    """Yield what a benchmark was made with: what it is, and its value in words."""
    bundle, device, options = report.bundle, report.device, report.options
    yield "backbone", bundle.backbone
    yield "branches", bundle.branches
    yield "precision", bundle.precision
    yield "input size", " x ".join(map(str, bundle.input_size))
    yield "thresholds", _named(bundle.thresholds)
    if bundle.guarantee is not None:
        yield "guarantee", format_guarantee(bundle.guarantee, bundle.thresholds)
    yield "processor", f"{device.cpu}, {device.cores} cores"
    yield "runs on", device.backend_device
    yield (
        "threads per graph",
        "the backend's choice" if device.threads is None else str(device.threads),
    )
    yield "system", device.system
    for name, version in sorted(device.versions.items()):
        yield f"{name} there", version
    for name, version in sorted(bundle.versions.items()):
        yield f"{name} at export", version
    if report.mixture is not None:
        yield "images", f"{report.mixture.samples} of {report.mixture.source}"
    yield "seed", str(options.seed)
    yield "compared with", options.versus or NOTHING
    for other in () if report.backends is None else report.backends.others:
        yield f"layers in {other.name} computed in", other.computed_in or NOTHING
    if options.qps is not None:
        yield "arrivals per second", f"{options.qps:g}"


def comparison_warnings(first: BenchReport, second: BenchReport) -> Iterator[str]:
    """Yield why the comparison may not mean what it seems to."""
    one, other = first.bundle, second.bundle
    if (one.backbone, one.branches) != (other.backbone, other.branches):
        yield (
            f"These are different networks, {one.backbone} {one.branches} and {other.backbone} "
            f"{other.branches}: their accuracies differ too."
        )
    if one.input_size != other.input_size:
        yield f"Their images differ in size, {one.input_size} and {other.input_size}."
    for which, report in (("first", first), ("second", second)):
        if report.state.throttled:
            yield (
                f"THE DEVICE OF THE {which.upper()} REPORT WAS SLOWED DOWN DURING ITS RUN "
                f"({'; '.join(report.state.throttled)}): measure again."
            )


def _named(values: Mapping[str, float]) -> str:
    return (
        ", ".join(f"{name} {format_threshold(value)}" for name, value in values.items()) or NOTHING
    )
