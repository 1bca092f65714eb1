"""OpenVINO's package, imported without its telemetry.

``import openvino`` reports itself to Google Analytics, in a thread and with an identifier in the
home folder, unless the user has opted out there (seen in 2026.4). If its telemetry package cannot
be imported, it continues without. Loading a bundle must not make a device send anything.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from edgeexit_runtime.system.signals import signal_stack_kept

TELEMETRY = "openvino_telemetry"


def _import_quietly() -> Any:
    """Import OpenVINO while its telemetry cannot be imported; one imported before is kept."""
    if TELEMETRY in sys.modules:
        return importlib.import_module("openvino")
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # import treats this as missing
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

    The CPU plugin sets a signal stack, frees it with the core, and restores the one before, which
    may be another core's and already freed (seen in 2026.4).
    """
    with signal_stack_kept():
        core = openvino.Core()
        core.available_devices  # noqa: B018  loads them
    return core
