"""Clocks, temperatures and signs of throttling, from sysfs and NVML.

- cpufreq: ``policyN/scaling_cur_freq``, ``scaling_max_freq`` (the limit, which the thermal
  framework lowers) and ``cpuinfo_max_freq`` in kHz
  (https://docs.kernel.org/admin-guide/pm/cpufreq.html).
- devfreq, a Jetson's GPU: ``cur_freq``, ``max_freq`` and ``available_frequencies`` in Hz
  (https://kernel.org/doc/Documentation/ABI/testing/sysfs-class-devfreq).
- Thermal zones in thousandths of a degree, and cooling devices, whose ``cur_state`` is above 0
  while they throttle something (https://docs.kernel.org/driver-api/thermal/sysfs-api.html). Fans
  are cooling devices too, but slow nothing down.
- x86 counts throttling in ``thermal_throttle/core_throttle_count`` and ``package_throttle_count``.
- Jetson Orin counts over-current and under-voltage events in ``soctherm_oc``'s ``oc*_event_cnt``
  (NVIDIA, Jetson Linux Developer Guide r36, Platform Power and Performance).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgeexit.bench.device.nvml import Gpu
from edgeexit.bench.device.sysfs import numbered, try_integer, try_text
from edgeexit.bench.results.state import Clock, DeviceState, Temperature, ThrottleSign

MHZ_PER_KHZ, MHZ_PER_HZ, CELSIUS_PER_MILLI = 1e-3, 1e-6, 1e-3
GPU_WORDS = ("gpu", "gv11b", "gp10b", "ga10b", "gpc")  # of integrated NVIDIA GPUs
HOLDS_BACK = ("cpufreq", "devfreq", "throttle", "gpu", "processor", "hot-surface")


def read_state(root: Path, gpu: Gpu | None = None) -> DeviceState:
    """Return the device's current state; what it does not report is omitted."""
    return DeviceState(
        clocks=(*_cpu_clocks(root), *_gpu_clocks(root), *(gpu.clocks() if gpu else ())),
        temperatures=(*_temperatures(root), *(gpu.temperatures() if gpu else ())),
        signs=(
            *_cpu_counters(root),
            *_over_current_counters(root),
            *_cooling_devices(root),
            *(gpu.signs() if gpu else ()),
        ),
    )


def _cpu_clocks(root: Path) -> Iterator[Clock]:
    for policy in numbered(root / "devices/system/cpu/cpufreq", "policy*"):
        files = ("scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq")
        values = [try_integer(policy / file) for file in files]
        cpus = (try_text(policy / "affected_cpus") or policy.name[len("policy") :]).split()
        name = "cpu" + (cpus[0] if len(cpus) == 1 else f"{cpus[0]}-{cpus[-1]}")
        yield from _clock(name, values, MHZ_PER_KHZ)


def _gpu_clocks(root: Path) -> Iterator[Clock]:
    for device in numbered(root / "class/devfreq", "*"):
        node = try_text(device / "device/of_node/name")
        if not any(word in name for word in GPU_WORDS for name in (device.name, node)):
            continue
        frequencies = try_text(device / "available_frequencies").split()
        limit = try_integer(device / "max_freq")
        most = max((int(hz) for hz in frequencies if hz.isdigit()), default=limit)
        yield from _clock(device.name, [try_integer(device / "cur_freq"), limit, most], MHZ_PER_HZ)


def _clock(name: str, values: list[int | None], scale: float) -> Iterator[Clock]:
    """Yield a clock of current, limit and maximum, unless one of them is missing."""
    known = [value * scale for value in values if value is not None]
    if len(known) == len(values):
        yield Clock(name, *known)


def _temperatures(root: Path) -> Iterator[Temperature]:
    for zone in numbered(root / "class/thermal", "thermal_zone*"):
        value = try_integer(zone / "temp")  # not readable for parts that are powered off
        if value is not None:
            yield Temperature(try_text(zone / "type") or zone.name, value * CELSIUS_PER_MILLI)


def _cpu_counters(root: Path) -> Iterator[ThrottleSign]:
    cores: list[int] = []
    packages: dict[int, int] = {}  # all processors of a package report the same count
    for cpu in numbered(root / "devices/system/cpu", "cpu[0-9]*"):
        core = try_integer(cpu / "thermal_throttle/core_throttle_count")
        package = try_integer(cpu / "thermal_throttle/package_throttle_count")
        number = try_integer(cpu / "topology/physical_package_id") or 0
        if core is not None:
            cores.append(core)
        if package is not None:
            packages[number] = max(package, packages.get(number, 0))
    if cores:
        yield ThrottleSign("processor cores: thermal throttling", True, sum(cores))
    if packages:
        total = sum(packages.values())
        yield ThrottleSign("processor package: thermal throttling", True, total)


def _over_current_counters(root: Path) -> Iterator[ThrottleSign]:
    for folder in numbered(root / "class/hwmon", "hwmon*"):
        for file in numbered(folder, "oc*_event_cnt"):
            value = try_integer(file)
            if value is not None:
                name = file.name.removesuffix("_event_cnt")
                yield ThrottleSign(f"over-current or under-voltage ({name})", True, value)


def _cooling_devices(root: Path) -> Iterator[ThrottleSign]:
    for device in numbered(root / "class/thermal", "cooling_device*"):
        kind = try_text(device / "type")
        value = try_integer(device / "cur_state")
        if value is not None and any(word in kind.lower() for word in HOLDS_BACK):
            yield ThrottleSign(f"{kind} ({device.name})", False, value)
