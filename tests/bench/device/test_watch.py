"""The watch over clocks, temperatures and throttling, and what is said of them."""

from __future__ import annotations

import pytest
from edgeexit_runtime.progress import ignore_progress

from edgeexit.bench.device.watch import StateWatch
from edgeexit.bench.render.setup import clock_lines, temperature_lines, throttle_warning
from edgeexit.bench.results.state import Clock, DeviceState, RunState, Temperature, ThrottleSign


def state(
    limit_mhz: float = 2000, counted: int = 3, alert: int = 0, celsius: float = 50
) -> DeviceState:
    return DeviceState(
        (Clock("cpu0", 900, limit_mhz, 2000),),
        (Temperature("cpu-thermal", celsius),),
        (
            ThrottleSign("package: thermal throttling", True, counted),
            ThrottleSign("cpu-throttle-alert", False, alert),
        ),
    )


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((state(), state(), state()), ()),
        ((state(), state(celsius=90), state(limit_mhz=1995)), ()),
        ((state(), state(counted=4), state(counted=4)), ("package: thermal throttling",)),
        ((state(), state(alert=1), state()), ("cpu-throttle-alert",)),
        ((state(alert=1), state(alert=1), state()), ("cpu-throttle-alert from the start",)),
        (
            (state(), state(limit_mhz=1200), state()),
            ("cpu0: its limit fell from 2000 to 1200 MHz",),
        ),
    ],
)
def test_what_slowed_the_device_down_is_found_in_the_middle(
    readings: tuple[DeviceState, ...],
    expected: tuple[str, ...],
) -> None:
    coming = iter(readings)
    watch = StateWatch(lambda: next(coming), every_s=0)
    told: list[tuple[str, float]] = []
    watch.during(lambda step, done: told.append((step, done)))("parts", 0.5)
    run = watch.finish()
    assert run == RunState(readings[0], readings[2], expected)
    assert told == [("parts", 0.5)]


def test_the_device_is_not_read_all_the_time() -> None:
    count = 0

    def read() -> DeviceState:
        nonlocal count
        count += 1
        return state()

    watch = StateWatch(read)
    for _ in range(100):
        watch.during(ignore_progress)("parts", 0.5)
    assert count == 1


def test_clocks_and_temperatures_in_words() -> None:
    cool = DeviceState(
        tuple(Clock(f"cpu{cpu}", 800 + cpu, 2000, 2000) for cpu in range(4)),
        (Temperature("cpu-thermal", 41.4), Temperature("gone", 30)),
        (),
    )
    hot = DeviceState(
        tuple(Clock(f"cpu{cpu}", 1200, 2000 if cpu else 1200, 2000) for cpu in range(4)),
        (Temperature("cpu-thermal", 77.6),),
        (),
    )
    run = RunState(cool, hot, ())
    assert clock_lines(run) == [
        "clock of cpu0: 800 MHz before, 1200 after, limit 2000, then 1200, maximum 2000",
        "clock of cpu1 to cpu3: 801 to 803 MHz before, 1200 after, limit 2000, maximum 2000",
    ]
    assert temperature_lines(run) == ["temperature before and after: cpu-thermal 41 to 78 °C"]
    nothing = DeviceState((), (), ())
    assert clock_lines(RunState(nothing, nothing, ())) == []
    assert temperature_lines(RunState(nothing, nothing, ())) == []


def test_throttling_comes_first_in_the_verdict() -> None:
    quiet = RunState(state(), state(), ())
    assert throttle_warning(quiet) == ""
    said = throttle_warning(RunState(state(), state(), ("a", "b")))
    assert said.startswith("THE DEVICE WAS SLOWED DOWN DURING THIS RUN (a; b): its speed changed")
