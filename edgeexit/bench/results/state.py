"""Clocks, temperatures and throttling of the device around a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """One clock, in MHz.

    Attributes:
        name: ``cpu0``, or the GPU's name.
        current_mhz: current frequency.
        limit_mhz: current upper limit; lowered by heat or a power mode.
        max_mhz: hardware maximum.
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
    """A sign of throttling.

    Attributes:
        name: a description, as text.
        is_counter: whether ``value`` counts events since boot; otherwise it is above 0 exactly
            while the device is throttled.
        value: as read.
    """

    name: str
    is_counter: bool
    value: int


@dataclass(frozen=True, slots=True)
class DeviceState:
    """One reading; what the device does not report is missing."""

    clocks: tuple[Clock, ...]
    temperatures: tuple[Temperature, ...]
    signs: tuple[ThrottleSign, ...]


@dataclass(frozen=True, slots=True)
class RunState:
    """The device around one benchmark.

    Attributes:
        before, after: readings.
        throttled: what slowed the device down in between, as text; empty if nothing did.
    """

    before: DeviceState
    after: DeviceState
    throttled: tuple[str, ...]
