"""``edgeexit bench``: a whole report as the terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeexit.cli.bench_energy import print_energy, print_state
from edgeexit.cli.bench_explanation import print_explanation
from edgeexit.cli.bench_scenarios import scenario_tables
from edgeexit.cli.bench_tables import (
    mixture_table,
    parts_table,
    paths_table,
    runs_table,
    warm_up_line,
)
from edgeexit.cli.common import console

if TYPE_CHECKING:
    from edgeexit.bench import BenchReport

__all__ = ["print_report"]


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
    out.print(warm_up_line(report.warm_up))
    out.print(parts_table(report))
    out.print(paths_table(report))
    if report.mixture is not None:
        out.print(mixture_table(report.mixture))
        out.print(runs_table(report.mixture))
    for table in scenario_tables(report.scenarios) if report.scenarios is not None else ():
        out.print(table)
    print_energy(report.energy, out)
    print_state(report.state, out)
    print_explanation(out, report)
    out.print(verdict(report))
