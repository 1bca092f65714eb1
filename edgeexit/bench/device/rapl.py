"""RAPL: energy counters in x86 processors of Intel and AMD.

``/sys/class/powercap/intel-rapl:P`` is a package with ``name``, ``energy_uj`` and
``max_energy_range_uj``, at which the counter wraps around; ``intel-rapl:P:S`` is a part of it
(https://docs.kernel.org/power/powercap/powercap.html). Memory (``dram``) is not included in the
package's counter and is added; cores and graphics are included. ``psys``, the platform, is omitted:
it includes the packages. Since Linux 5.10 only root may read the counters, because they leak
secrets (CVE-2020-8694).
"""

from __future__ import annotations

from pathlib import Path

from edgeexit.bench.device.meters import CounterMeter
from edgeexit.bench.device.sysfs import numbered, read_integer, try_integer, try_text
from edgeexit.bench.results.energy import EnergySensor

J_PER_UJ = 1e-6


def rapl_meters(root: Path) -> tuple[list[CounterMeter], list[str]]:
    """Return a meter for each package and its memory, and notes on what could not be read."""
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
                f"RAPL: only root may read {zone / 'energy_uj'}; run as root, or let others read "
                f"it: sudo chmod o+r {zone / 'energy_uj'}"
            )
        except OSError as error:
            notes.append(f"RAPL: {error}")
        else:
            meters.append(_meter(zone, name))
    # some packages without the others would not be the whole device
    return ([], notes[:1]) if notes else (meters, [])


def _meter(zone: Path, name: str) -> CounterMeter:
    counter = zone / "energy_uj"
    range_uj = try_integer(zone / "max_energy_range_uj")
    return CounterMeter(
        EnergySensor("RAPL", f"{name} ({zone.name})", str(counter)),
        lambda: read_integer(counter) * J_PER_UJ,
        None if range_uj is None else range_uj * J_PER_UJ,
    )
