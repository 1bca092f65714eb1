"""What a device tells of its energy, clocks, temperatures and throttling.

Every reader takes the root of a sysfs tree or a module that speaks NVML, and leaves out what the
device does not tell.
"""

from edgeexit.bench.sensors.found import FoundMeters, find_meters
from edgeexit.bench.sensors.meters import CounterMeter, Meter, PowerMeter
from edgeexit.bench.sensors.nvml import Gpu, open_gpu
from edgeexit.bench.sensors.readings import read_state
from edgeexit.bench.sensors.sysfs import SYSFS

__all__ = [
    "SYSFS",
    "CounterMeter",
    "FoundMeters",
    "Gpu",
    "Meter",
    "PowerMeter",
    "find_meters",
    "open_gpu",
    "read_state",
]
