"""The device of a run: a watch for throttling, and its energy sensors."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeexit_runtime import Session
from edgeexit_runtime.backends.base import NVIDIA
from edgeexit_runtime.progress import Progress

from edgeexit.bench.device.nvml import open_gpu
from edgeexit.bench.device.readings import read_state
from edgeexit.bench.device.sensors import FoundMeters, find_meters
from edgeexit.bench.results.state import DeviceState, RunState

LOOK_EVERY_S = 1.0
LIMIT_FELL = 0.99  # a smaller change may be rounding to steps of the clock


@dataclass(frozen=True, slots=True, eq=False)
class Device:
    """The readers of the device of a run."""

    watch: StateWatch
    meters: FoundMeters


def device_of(session: Session, root: Path) -> Device:
    """Return the device that a session runs on, and start watching its state.

    Args:
        root: of the sysfs tree.
    """
    on_nvidia = session.runner.hardware.maker == NVIDIA
    gpu, gpu_note = open_gpu() if on_nvidia else (None, None)
    return Device(StateWatch(partial(read_state, root, gpu)), find_meters(root, gpu, gpu_note))


class StateWatch:
    """Reads the state before a run, after it, and periodically in between.

    Throttling in the middle of a run may be over at its end: the clocks are back to normal, and the
    mean of the times does not show it.

    Args:
        read: returns the state; takes a fraction of a millisecond to some milliseconds.
        every_s: minimum seconds between two readings.
    """

    def __init__(self, read: Callable[[], DeviceState], every_s: float = LOOK_EVERY_S) -> None:
        self._read = read
        self._every_s = every_s
        self._before = read()
        self._last_s = time.perf_counter()
        self._found: dict[str, None] = {}  # in the order of discovery
        for sign in self._before.signs:
            if sign.value > 0 and not sign.is_counter:
                self._found[f"{sign.name} from the start"] = None

    def during(self, progress: Progress) -> Progress:
        """Return a progress callback that also reads the state, every ``every_s`` at most."""

        def watched(step: str, done: float) -> None:
            if time.perf_counter() - self._last_s >= self._every_s:
                self._compare(self._read())
                self._last_s = time.perf_counter()
            progress(step, done)

        return watched

    def finish(self) -> RunState:
        """Read for the last time and return the result."""
        after = self._read()
        self._compare(after)
        return RunState(self._before, after, tuple(self._found))

    def _compare(self, now: DeviceState) -> None:
        values = {sign.name: sign.value for sign in self._before.signs}
        for sign in now.signs:
            before = values.get(sign.name, 0)
            if sign.value > before and (sign.is_counter or before == 0):
                self._found[sign.name] = None
        limits = {clock.name: clock.limit_mhz for clock in self._before.clocks}
        for clock in now.clocks:
            limit = limits.get(clock.name, clock.limit_mhz)
            if clock.limit_mhz < LIMIT_FELL * limit:
                self._found[
                    f"{clock.name}: its limit fell from {limit:.0f} to {clock.limit_mhz:.0f} MHz"
                ] = None
