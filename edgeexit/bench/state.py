"""Clocks, temperatures and throttling of the device around a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = [
    "Clock",
    "DeviceState",
    "RunState",
    "StateWatch",
    "Temperature",
    "ThrottleSign",
    "clock_lines",
    "temperature_lines",
    "throttle_warning",
]

LOOK_EVERY_S = 1.0
LIMIT_FELL = 0.99  # rounding to steps of the clock is no fall


@dataclass(frozen=True, slots=True)
class Clock:
    """One clock, in MHz.

    Attributes:
        name: ``cpu0``, or the GPU's.
        current_mhz: now.
        limit_mhz: the most that it may reach now; falls where heat or a power mode lowers it.
        max_mhz: the most that it can do.
    """

    name: str
    current_mhz: float
    limit_mhz: float
    max_mhz: float


@dataclass(frozen=True, slots=True)
class Temperature:
    """One thermal zone or GPU, in degrees Celsius."""

    name: str
    celsius: float


@dataclass(frozen=True, slots=True)
class ThrottleSign:
    """Something that the system slows down for.

    Attributes:
        name: what it is, in words.
        is_counter: whether ``value`` counts events since the system was started; else it is above
            0 exactly while the device is slowed down.
        value: as read.
    """

    name: str
    is_counter: bool
    value: int


@dataclass(frozen=True, slots=True)
class DeviceState:
    """One reading; what the device does not tell is left out."""

    clocks: tuple[Clock, ...]
    temperatures: tuple[Temperature, ...]
    signs: tuple[ThrottleSign, ...]


@dataclass(frozen=True, slots=True)
class RunState:
    """The device around one benchmark.

    Attributes:
        before, after: readings.
        throttled: what slowed the device down in between, in words; empty where nothing did.
    """

    before: DeviceState
    after: DeviceState
    throttled: tuple[str, ...]


class StateWatch:
    """Reads the state before a run, after it, and now and then in between.

    What slows a device down in the middle may be over at the end: the clocks are back where they
    were, and the mean of the times tells nothing.

    Args:
        read: returns the state; takes a fraction of a millisecond to some milliseconds.
    """

    def __init__(self, read: Callable[[], DeviceState]) -> None:
        self._read = read
        self._before = read()
        self._last_s = time.perf_counter()
        self._found: dict[str, None] = {}  # in the order of discovery
        for sign in self._before.signs:
            if sign.value > 0 and not sign.is_counter:
                self._found[f"{sign.name} from the start"] = None

    def during(self, progress: Callable[[str, float], None]) -> Callable[[str, float], None]:
        """Return a progress that looks at the device, too, whenever it is told something."""

        def told(step: str, done: float) -> None:
            self.look()
            progress(step, done)

        return told

    def look(self) -> None:
        """Read, unless that was done within the last second."""
        if time.perf_counter() - self._last_s >= LOOK_EVERY_S:
            self._compare(self._read())
            self._last_s = time.perf_counter()

    def finish(self) -> RunState:
        """Read for the last time and return what was found."""
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


def throttle_warning(state: RunState) -> str:
    """Return what a verdict must begin with where the device was slowed down, else nothing."""
    if not state.throttled:
        return ""
    return (
        f"THE DEVICE WAS SLOWED DOWN DURING THIS RUN ({'; '.join(state.throttled)}): its times are "
        "of no steady device and their means say little; cool it, or set a lower power mode, and "
        "measure again. "
    )


def clock_lines(state: RunState) -> list[str]:
    """Return the clocks before and after in words, one line for all of a kind that is alike."""
    after = {clock.name: clock for clock in state.after.clocks}
    groups: dict[tuple[float, float, float], list[tuple[Clock, Clock]]] = {}
    for before in state.before.clocks:
        now = after.get(before.name, before)
        groups.setdefault((before.max_mhz, before.limit_mhz, now.limit_mhz), []).append(
            (before, now)
        )
    return [_clock_line(pairs) for pairs in groups.values()]


def temperature_lines(state: RunState) -> list[str]:
    """Return the temperatures before and after in words: one line, or none."""
    after = {zone.name: zone.celsius for zone in state.after.temperatures}
    changes = [
        f"{zone.name} {zone.celsius:.0f} to {after[zone.name]:.0f} °C"
        for zone in state.before.temperatures
        if zone.name in after
    ]
    return [f"temperature before and after: {', '.join(changes)}"] if changes else []


def _clock_line(pairs: list[tuple[Clock, Clock]]) -> str:
    names = [before.name for before, _ in pairs]
    shown = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    before, after = ([pair[side].current_mhz for pair in pairs] for side in (0, 1))
    first, last = pairs[0]
    limits = f"{first.limit_mhz:.0f}" + (
        "" if last.limit_mhz == first.limit_mhz else f", then {last.limit_mhz:.0f}"
    )
    return (
        f"clock of {shown}: {_range(before)} MHz before, {_range(after)} after, limit {limits}, "
        f"maximum {first.max_mhz:.0f}"
    )


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low} to {high}"
