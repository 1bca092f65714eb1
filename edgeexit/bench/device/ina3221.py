"""Texas Instruments' INA3221 on Jetson modules: voltage and current of up to three rails each.

The kernel's driver provides ``in[123]_label``, ``in[123]_input`` in mV and ``curr[123]_input`` in
mA; its other inputs are shunt voltages and their sum, not rails
(https://docs.kernel.org/hwmon/ina3221.html). JetPack 5 and 6 both use it; it is found below
``/sys/class/hwmon`` by its ``name``, since its number there changes. ``VDD_IN`` is the whole
module's input (https://forums.developer.nvidia.com/t/interpretation-of-jetson-nx-power-rail/200883,
``POM_5V_IN`` on the first Jetson Nano); on AGX modules, which lack it, the rails are added up.
"""

from __future__ import annotations

from pathlib import Path

from edgeexit.bench.device.meters import PowerMeter
from edgeexit.bench.device.sysfs import numbered, read_integer, try_integer, try_text
from edgeexit.bench.results.energy import EnergySensor

CHANNELS = (1, 2, 3)
WHOLE = ("VDD_IN", "POM_5V_IN")
NOT_CONNECTED = ("", "NC")
W_PER_MV_MA = 1e-6


def ina3221_meters(root: Path) -> list[PowerMeter]:
    """Return a meter for the input of the whole module, or one per rail if it has none."""
    meters = [
        _meter(folder, channel, label)
        for folder in numbered(root / "class/hwmon", "hwmon*")
        if try_text(folder / "name") in ("ina3221", "ina3221x")
        for channel in CHANNELS
        if (label := try_text(folder / f"in{channel}_label") or "") not in NOT_CONNECTED
        and _is_rail(folder, channel)
    ]
    return [meter for meter in meters if meter.sensor.name in WHOLE][:1] or meters


def _is_rail(folder: Path, channel: int) -> bool:
    inputs = (folder / f"in{channel}_input", folder / f"curr{channel}_input")
    return all(try_integer(file) is not None for file in inputs)


def _meter(folder: Path, channel: int, label: str) -> PowerMeter:
    voltage, current = folder / f"in{channel}_input", folder / f"curr{channel}_input"
    return PowerMeter(
        EnergySensor("INA3221", label, str(current)),
        lambda: read_integer(voltage) * read_integer(current) * W_PER_MV_MA,
    )
