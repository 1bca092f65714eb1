"""Readings of a device's energy, clocks, temperatures and throttling.

Every reader takes the root of a sysfs tree or an NVML module, and omits what the device does not
report.
"""

from edgeexit.bench.device.found import Device, FoundMeters, device_of, find_meters
from edgeexit.bench.device.meters import CounterMeter, Meter, PowerMeter
from edgeexit.bench.device.nvml import Gpu, open_gpu
from edgeexit.bench.device.readings import read_state
from edgeexit.bench.device.sysfs import SYSFS

__all__ = [
    "SYSFS",
    "CounterMeter",
    "Device",
    "FoundMeters",
    "Gpu",
    "Meter",
    "PowerMeter",
    "device_of",
    "find_meters",
    "open_gpu",
    "read_state",
]
