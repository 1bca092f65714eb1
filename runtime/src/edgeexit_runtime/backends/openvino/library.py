"""OpenVINO's package, imported without its telemetry.

``import openvino`` tells Google Analytics so, by a thread of its own and an identifier in the home
folder, unless somebody has opted out there (seen in 2026.4). Where its package for that cannot be
imported it goes on without. No device sends anything because a bundle is loaded on it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from edgeexit_runtime.system.signals import signal_stack_kept

TELEMETRY = "openvino_telemetry"


def _import_quietly() -> Any:
    """Import OpenVINO while its telemetry cannot be; whoever has imported that already keeps it."""
    if TELEMETRY in sys.modules:
        return importlib.import_module("openvino")
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # what import takes for missing
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[TELEMETRY]


openvino = _import_quietly()
_HOME = "openvino" if importlib.util.find_spec("openvino.opset8") else "openvino.runtime"  # 2024
operators = importlib.import_module(f"{_HOME}.opset8")
FrontEndManager = importlib.import_module("openvino.frontend").FrontEndManager


def new_core() -> Any:
    """Return a core with its plugins loaded.

    The CPU plugin sets a stack for signals, frees it with the core, and puts back the one before,
    which is that of another core and may be gone (seen in 2026.4).
    """
    with signal_stack_kept():
        core = openvino.Core()
        core.available_devices  # noqa: B018  loads them
    return core
