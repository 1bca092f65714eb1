"""Clocks, temperatures and throttling of the device around a run."""

from __future__ import annotations

from dataclasses import dataclass


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
