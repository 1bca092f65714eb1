"""Comparison of two reports, such as of two devices, precisions or versions."""

from __future__ import annotations

from collections.abc import Iterator

from edgeexit.bench.compare.figures import compare_energy, compare_mixtures, compare_paths
from edgeexit.bench.compare.scenarios import compare_scenarios
from edgeexit.bench.compare.setups import setup_differences
from edgeexit.bench.results.comparison import ReportComparison
from edgeexit.bench.results.report import BenchReport
from edgeexit.errors import InputError


def compare_reports(
    first: BenchReport, second: BenchReport, names: tuple[str, str] = ("first", "second")
) -> ReportComparison:
    """Compare two reports.

    Args:
        first, second: the reports; ratios are the second over the first.
        names: of the two, such as their files.

    Raises:
        InputError: the networks have different classes.
    """
    _check_comparable(first, second)
    sections = [
        compare(first, second)
        for compare in (compare_paths, compare_mixtures, compare_scenarios, compare_energy)
    ]
    return ReportComparison(
        first=names[0],
        second=names[1],
        differences=setup_differences(first, second),
        warnings=tuple(_warnings(first, second)),
        left_out=tuple(said for section in sections for said in section.left_out),
        figures=tuple(figure for section in sections for figure in section.figures),
    )


def _check_comparable(first: BenchReport, second: BenchReport) -> None:
    """Raise :class:`InputError` if the two networks differ in the number of classes."""
    counts = first.bundle.num_classes, second.bundle.num_classes
    if counts[0] != counts[1]:
        raise InputError(
            f"{first.bundle.label} and {second.bundle.label} cannot be compared: expected networks "
            f"for the same classes, got {counts[0]} and {counts[1]} classes; benchmark two bundles "
            "of the same task"
        )


def _warnings(first: BenchReport, second: BenchReport) -> Iterator[str]:
    """Yield the reasons why the comparison may mislead."""
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
