"""Set-up of a benchmark, warm-up, clocks, temperatures and throttling, as text."""

from __future__ import annotations

from edgeexit.bench.compare.setups import setup_facts
from edgeexit.bench.results.report import BenchReport, DeviceInfo
from edgeexit.bench.results.state import Clock, RunState
from edgeexit.bench.results.timings import WarmUp
from edgeexit.formats import Table, format_threads, texts


def setup_table(report: BenchReport) -> Table:
    """Return all facts of a report's set-up."""
    return Table.of("what it was measured with", texts("", ""), setup_facts(report))


def device_text(device: DeviceInfo) -> str:
    """Return the device as one line."""
    return (
        f"{device.cpu}, {device.cores} cores, {device.backend_device}, threads per graph: "
        f"{format_threads(device.threads)}"
    )


def warm_up_text(warm_up: WarmUp) -> str:
    """Return how long the warm-up took, and whether the device's speed became stable."""
    rounds = f"{warm_up.rounds} round{'s' * (warm_up.rounds != 1)}"
    if warm_up.stable:
        return f"warm-up: stable after {warm_up.seconds:.1f} s, {rounds}"
    return f"warm-up: not stable within {warm_up.seconds:.1f} s, {rounds}"


def throttle_warning(state: RunState) -> str:
    """Return the start of a verdict if the device was throttled, otherwise an empty string."""
    if not state.throttled:
        return ""
    return (
        f"THE DEVICE WAS SLOWED DOWN DURING THIS RUN ({'; '.join(state.throttled)}): its speed "
        "changed, so that its times and their means say little; cool it, or set a lower power "
        "mode, and measure again. "
    )


def clock_lines(state: RunState) -> list[str]:
    """Return the clocks before and after, one line per group of clocks with the same limits."""
    after = {clock.name: clock for clock in state.after.clocks}
    groups: dict[tuple[float, float, float], list[tuple[Clock, Clock]]] = {}
    for before in state.before.clocks:
        now = after.get(before.name, before)
        groups.setdefault((before.max_mhz, before.limit_mhz, now.limit_mhz), []).append(
            (before, now)
        )
    return [_clock_line(pairs) for pairs in groups.values()]


def temperature_lines(state: RunState) -> list[str]:
    """Return the temperatures before and after: one line, or none."""
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
