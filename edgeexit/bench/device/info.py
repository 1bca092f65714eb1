"""Description of the machine that a benchmark ran on."""

from __future__ import annotations

import importlib.metadata
import platform

from edgeexit_runtime import Session
from edgeexit_runtime.system.machine import cores_available, cpu_model

from edgeexit.bench.results.report import DeviceInfo


def device_info(session: Session) -> DeviceInfo:
    """Return a description of the machine and device that a session runs on."""
    hardware = session.runner.hardware.name
    computed_in = session.runner.computed_in()
    packages = ("edgeexit", "edgeexit-runtime", "numpy")
    return DeviceInfo(
        cpu=cpu_model(),
        cores=cores_available(),
        system=platform.platform(),
        backend_device=f"{session.device} on {hardware}" if hardware else session.device,
        threads=session.threads,
        versions={
            **session.runner.versions,
            **({"layers computed in": computed_in} if computed_in else {}),
            **{name: importlib.metadata.version(name) for name in packages},
            "python": platform.python_version(),
        },
    )
