"""Which machine a benchmark ran on: figures without it mean nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["cores_available", "cpu_model"]

CPUINFO = Path("/proc/cpuinfo")
DEVICE_TREE = Path("/proc/device-tree/model")


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
