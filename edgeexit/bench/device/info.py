"""Which machine a benchmark ran on: figures without it mean nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

from edgeexit_runtime import Session

from edgeexit.bench.results.report import DeviceInfo

CPUINFO = Path("/proc/cpuinfo")
DEVICE_TREE = Path("/proc/device-tree/model")


def device_info(session: Session) -> DeviceInfo:
    """Return what a session runs on, here."""
    computed_in = session.runner.computed_in()
    packages = ("edgeexit", "edgeexit-runtime", "numpy")
    return DeviceInfo(
        cpu=cpu_model(),
        cores=cores_available(),
        system=platform.platform(),
        backend_device=_named(session),
        threads=session.threads,
        versions={
            **session.runner.versions,
            **({"layers computed in": computed_in} if computed_in else {}),
            **{name: importlib.metadata.version(name) for name in packages},
            "python": platform.python_version(),
        },
    )


def _named(session: Session) -> str:
    """Add the hardware's name where the device does not hold it already."""
    name = session.runner.hardware.name
    return f"{session.device} on {name}" if name else session.device


def cpu_model(cpuinfo: Path = CPUINFO, device_tree: Path = DEVICE_TREE) -> str:
    """Return the processor's own name, or the board's where the processor has none (Jetson)."""
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    if device_tree.is_file():
        return device_tree.read_text(errors="replace").strip("\0\n ")
    return platform.processor() or platform.machine()


def cores_available() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
