"""Energy sensors of a device: INA3221, RAPL, and those of a GPU.

**INA3221**, by Texas Instruments, on Jetson modules: voltage and current of up to three rails each.
The kernel's driver provides ``in[123]_label``, ``in[123]_input`` in mV and ``curr[123]_input`` in
mA; its other inputs are shunt voltages and their sum, not rails
(https://docs.kernel.org/hwmon/ina3221.html). JetPack 5 and 6 both use it; it is found below
``/sys/class/hwmon`` by its ``name``, since its number there changes. ``VDD_IN`` is the whole
module's input (https://forums.developer.nvidia.com/t/interpretation-of-jetson-nx-power-rail/200883,
``POM_5V_IN`` on the first Jetson Nano); on AGX modules, which lack it, the rails are added up.

**RAPL**: energy counters in x86 processors of Intel and AMD.
``/sys/class/powercap/intel-rapl:P`` is a package with ``name``, ``energy_uj`` and
``max_energy_range_uj``, at which the counter wraps around; ``intel-rapl:P:S`` is a part of it
(https://docs.kernel.org/power/powercap/powercap.html). Memory (``dram``) is not included in the
package's counter and is added; cores and graphics are included. ``psys``, the platform, is omitted:
it includes the packages. Since Linux 5.10 only root may read the counters, because they leak
secrets (CVE-2020-8694).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeexit.bench.device.meters import CounterMeter, Meter, PowerMeter
from edgeexit.bench.device.nvml import Gpu
from edgeexit.bench.device.sysfs import numbered, read_integer, try_integer, try_text
from edgeexit.bench.results.energy import EnergySensor

WHOLE = ("VDD_IN", "POM_5V_IN")
NOT_CONNECTED = ("", "NC")
W_PER_MV_MA = 1e-6
J_PER_UJ = 1e-6
NONE_FOUND = "No energy was measured: no INA3221, RAPL or NVML sensor could be read."


@dataclass(frozen=True, slots=True, eq=False)
class FoundMeters:
    """Meters whose joules are added up, and notes on what could not be read, one sentence each."""

    meters: tuple[Meter, ...]
    notes: tuple[str, ...]


def find_meters(root: Path, gpu: Gpu | None = None, gpu_note: str | None = None) -> FoundMeters:
    """Return the meters of this device.

    A Jetson's rails include its GPU. Elsewhere processor and GPU have separate sensors; a GPU that
    the benchmark does not run on is not read.

    Args:
        gpu: that the benchmark runs on; None if it runs on no GPU, or the GPU cannot be read.
        gpu_note: why the GPU cannot be read; None if there is none or it can.
    """
    rails = ina3221_meters(root)
    if rails:
        return FoundMeters(tuple(rails), ())
    packages, notes = rapl_meters(root)
    if gpu_note is not None:
        notes.append(gpu_note)
    meters: list[Meter] = [*packages]
    gpu_meter = None if gpu is None else gpu.meter()
    if gpu_meter is not None:
        meters.append(gpu_meter)
    elif gpu is not None:
        notes.append(f"NVML: {gpu.name} reports neither energy nor power")
    if not meters:
        notes.insert(0, NONE_FOUND)
    return FoundMeters(tuple(meters), tuple(notes))


def ina3221_meters(root: Path) -> list[PowerMeter]:
    """Return a meter for the input of the whole module, or one per rail if it has none."""
    meters = []
    for folder in numbered(root / "class/hwmon", "hwmon*"):
        if try_text(folder / "name") not in ("ina3221", "ina3221x"):
            continue
        for channel in (1, 2, 3):
            label = try_text(folder / f"in{channel}_label")
            voltage, current = folder / f"in{channel}_input", folder / f"curr{channel}_input"
            if label in NOT_CONNECTED or None in (try_integer(voltage), try_integer(current)):
                continue
            sensor = EnergySensor("INA3221", label, str(current))
            meters.append(PowerMeter(sensor, partial(_watts, voltage, current)))
    return [meter for meter in meters if meter.sensor.name in WHOLE][:1] or meters


def _watts(voltage: Path, current: Path) -> float:
    return read_integer(voltage) * read_integer(current) * W_PER_MV_MA


def rapl_meters(root: Path) -> tuple[list[CounterMeter], list[str]]:
    """Return a meter for each package and its memory, and notes on what could not be read."""
    meters, notes = [], []
    for zone in numbered(root / "class/powercap", "intel-rapl:*"):
        name, counter = try_text(zone / "name"), zone / "energy_uj"
        is_package = zone.name.count(":") == 1 and name.startswith("package")
        if not is_package and name != "dram":
            continue
        try:
            _joules(counter)
        except PermissionError:
            notes.append(
                f"RAPL: only root may read {counter}; run as root, or let others read it: sudo "
                f"chmod o+r {counter}"
            )
        except OSError as error:
            notes.append(f"RAPL: {error}")
        else:
            sensor = EnergySensor("RAPL", f"{name} ({zone.name})", str(counter))
            range_uj = try_integer(zone / "max_energy_range_uj")
            range_j = None if range_uj is None else range_uj * J_PER_UJ
            meters.append(CounterMeter(sensor, partial(_joules, counter), range_j))
    # some packages without the others would not be the whole device
    return ([], notes[:1]) if notes else (meters, [])


def _joules(counter: Path) -> float:
    return read_integer(counter) * J_PER_UJ
