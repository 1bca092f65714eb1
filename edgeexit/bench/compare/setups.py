"""Set-ups of two benchmarks, and their differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgeexit.bench.results.comparison import SetupDifference
from edgeexit.bench.results.report import BenchReport
from edgeexit.formats import format_guarantee, format_threads, format_threshold

NOTHING = "-"


def setup_differences(first: BenchReport, second: BenchReport) -> tuple[SetupDifference, ...]:
    """Return the differences, the most telling first: network, precision, device, versions."""
    one, other = dict(setup_facts(first)), dict(setup_facts(second))
    return tuple(
        SetupDifference(what, one.get(what, NOTHING), other.get(what, NOTHING))
        for what in dict.fromkeys((*one, *other))
        if one.get(what, NOTHING) != other.get(what, NOTHING)
    )


def setup_facts(report: BenchReport) -> Iterator[tuple[str, str]]:
    """Yield the facts of a benchmark's set-up: name, and value as text."""
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
    yield "threads per graph", format_threads(device.threads)
    yield "system", device.system
    for name, version in sorted(device.versions.items()):
        yield f"{name} on the device", version
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


def _named(values: Mapping[str, float]) -> str:
    return (
        ", ".join(f"{name} {format_threshold(value)}" for name, value in values.items()) or NOTHING
    )
