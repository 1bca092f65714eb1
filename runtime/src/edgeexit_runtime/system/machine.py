"""What of a machine, beside its GPU, an engine is bound to."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

L4T_RELEASE = Path("/etc/nv_tegra_release")
L4T = re.compile(r"^# R(\d+) \(release\), REVISION: ([\d.]+)")
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}  # other systems' names for the same


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
