"""Facts about this machine: engines are bound to some of them, and times are reported with them."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
DEVICE_TREE = Path("/proc/device-tree/model")
L4T_RELEASE = Path("/etc/nv_tegra_release")
L4T = re.compile(r"^# R(\d+) \(release\), REVISION: ([\d.]+)")
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}  # other systems' names


def this_platform() -> str:
    """Return the system and the architecture, such as ``linux-aarch64``."""
    machine = platform.machine().lower()
    return f"{sys.platform}-{ARCHITECTURES.get(machine, machine)}"


def l4t_version(release: Path = L4T_RELEASE) -> str | None:
    """Return the version of a Jetson's system, such as ``36.4.3``; None on other machines."""
    try:
        found = L4T.match(release.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return f"{found[1]}.{found[2]}" if found else None


def cpu_model(cpuinfo: Path = CPUINFO, device_tree: Path = DEVICE_TREE) -> str:
    """Return the processor's name, or the board's if the processor has none (Jetson)."""
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
