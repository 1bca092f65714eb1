"""RAPL: counters of energy in x86 processors, of Intel and of AMD.

``/sys/class/powercap/intel-rapl:P`` is a package with ``name``, ``energy_uj`` and
``max_energy_range_uj``, at which the counter begins anew; ``intel-rapl:P:S`` is a part of it
(https://docs.kernel.org/power/powercap/powercap.html). Memory (``dram``) is not in the package's
counter and is added; cores and graphics are in it. ``psys``, the platform, is left out: it counts
the packages once more. Since Linux 5.10 root alone may read the counters, because they betray
secrets (CVE-2020-8694).
"""

from __future__ import annotations

from pathlib import Path

from edgeexit.bench.device.meters import CounterMeter
from edgeexit.bench.device.sysfs import numbered, read_integer, try_integer, try_text
from edgeexit.bench.results.energy import EnergySensor

J_PER_UJ = 1e-6


def rapl_meters(root: Path) -> tuple[list[CounterMeter], list[str]]:
    """Return a meter for each package and its memory, and what could not be read."""
    meters, notes = [], []
    for zone in numbered(root / "class/powercap", "intel-rapl:*"):
        name = try_text(zone / "name") or ""
        is_package = zone.name.count(":") == 1 and name.startswith("package")
        if not is_package and name != "dram":
            continue
        try:
            read_integer(zone / "energy_uj")
        except PermissionError:
            notes.append(
                f"RAPL: {zone / 'energy_uj'} is for root alone; run as root, or let others read "
                f"it: sudo chmod o+r {zone / 'energy_uj'}"
            )
        except OSError as error:
            notes.append(f"RAPL: {error}")
        else:
            meters.append(_meter(zone, name))
    # one package without the others is not the device
    return ([], notes[:1]) if notes else (meters, [])


def _meter(zone: Path, name: str) -> CounterMeter:
    counter = zone / "energy_uj"
    range_uj = try_integer(zone / "max_energy_range_uj")
    return CounterMeter(
        EnergySensor("RAPL", f"{name} ({zone.name})", str(counter)),
        lambda: read_integer(counter) * J_PER_UJ,
        None if range_uj is None else range_uj * J_PER_UJ,
    )
