"""What a benchmark was made with, and how the device began."""

from __future__ import annotations

from edgeexit.bench.compare.setups import setup_facts
from edgeexit.bench.render.table import Table, texts
from edgeexit.bench.results.report import BenchReport, DeviceInfo, WarmUp


def setup_table(report: BenchReport) -> Table:
    """Return all that is known of a report's set-up."""
    return Table.of("", texts("", ""), setup_facts(report))


def setup_text(report: BenchReport) -> str:
    """Return what matters most of it, in three lines."""
    bundle, device = report.bundle, report.device
    versions = ", ".join(f"{name} {version}" for name, version in device.versions.items())
    return (
        f"{bundle.label}, {bundle.num_classes} classes, input {bundle.input_size}, in "
        f"{bundle.folder}\n{device_text(device)}\n{versions}"
    )


def device_text(device: DeviceInfo) -> str:
    """Return what ran it, in a line."""
    threads = "the backend's choice" if device.threads is None else str(device.threads)
    return (
        f"{device.cpu}, {device.cores} cores, {device.backend_device}, threads per graph: {threads}"
    )


def warm_up_text(warm_up: WarmUp) -> str:
    """Say how long it took until the device was at its speed."""
    rounds = f"{warm_up.rounds} round{'s' * (warm_up.rounds != 1)}"
    if warm_up.stable:
        return f"warm-up: stable after {warm_up.seconds:.1f} s, {rounds}"
    return f"warm-up: not stable within {warm_up.seconds:.1f} s, {rounds}"
