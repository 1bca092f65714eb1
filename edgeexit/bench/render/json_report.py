"""A report for machines."""

from __future__ import annotations

from typing import Any

from edgeexit_runtime.bundle.schema import encode

from edgeexit.bench.render.verdict import verdict
from edgeexit.bench.results.report import SCHEMA_VERSION, BenchReport


def report_json(report: BenchReport) -> dict[str, Any]:
    """Return the report as JSON values: all figures, and the raw times in milliseconds."""
    head = {"schema_version": SCHEMA_VERSION, "batch_size": 1, "verdict": verdict(report)}
    return {**head, **encode(report)}
