"""The device of a run: a watch of its state, and its energy sensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeexit_runtime import Session
from edgeexit_runtime.backends.base import NVIDIA

from edgeexit.bench.device.ina3221 import ina3221_meters
from edgeexit.bench.device.meters import Meter
from edgeexit.bench.device.nvml import Gpu, open_gpu
from edgeexit.bench.device.rapl import rapl_meters
from edgeexit.bench.device.readings import read_state
from edgeexit.bench.device.sysfs import SYSFS
from edgeexit.bench.device.watch import StateWatch

NONE_FOUND = "No energy was measured: no INA3221, RAPL or NVML sensor could be read."


@dataclass(frozen=True, slots=True, eq=False)
class FoundMeters:
    """Meters whose joules are added up, and notes on what could not be read, one sentence each."""

    meters: tuple[Meter, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Device:
    """The readers of the device of a run."""

    watch: StateWatch
    meters: FoundMeters


def device_of(session: Session, root: Path = SYSFS) -> Device:
    """Return the device that a session runs on, and start watching its state."""
    on_nvidia = session.runner.hardware.maker == NVIDIA
    gpu, gpu_note = open_gpu() if on_nvidia else (None, None)
    return Device(StateWatch(partial(read_state, root, gpu)), find_meters(root, gpu, gpu_note))


def find_meters(
    root: Path = SYSFS, gpu: Gpu | None = None, gpu_note: str | None = None
) -> FoundMeters:
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
