from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from edgeexit.bench.energy import Energy, EnergyRun, EnergySensor, EnergyTurn
from edgeexit.bench.sensors import find_meters
from edgeexit.bench.state import Clock, DeviceState, RunState, Temperature
from edgeexit.cli.bench_energy import print_energy, print_state

TURN = EnergyTurn(1.0, 4.0, 100)


def printed(print_section: object, section: object, width: int = 100) -> str:
    console = Console(width=width, markup=False, highlight=False)
    with console.capture() as capture:
        print_section(section, console)  # type: ignore[operator]
    return capture.get()


def test_energy_table() -> None:
    energy = Energy(
        sensors=(EnergySensor("RAPL", "package-0", "energy_uj"),),
        notes=("NVML: not there",),
        source="[red] photos",
        idle_w=1.5,
        idle_turns=(TURN,) * 3,
        runs=(EnergyRun("plain backbone", 4.0, 0.04, 0.039, 0.0425, 0.025, (TURN,) * 3),),
    )
    said = printed(print_energy, energy)
    assert "energy on [red] photos, one by one" in said
    cells = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in said.splitlines()
        if line.startswith("│")
    ]
    assert ["plain backbone", "4.00", "40.000", "39.000 to 42.500", "25.000", "3"] in cells
    assert ["idle", "1.50", "", "", "", "3"] in cells
    assert "of RAPL package-0; everything that they see" in said
    assert said.splitlines()[-1] == "NVML: not there"


def test_no_energy_is_one_line() -> None:
    energy = Energy((), find_meters(Path("nowhere")).notes, "photos", None, (), ())
    said = printed(print_energy, energy, width=80)
    assert said.startswith("No energy was measured")
    assert said.count("\n") == 1


def test_state_lines() -> None:
    before = DeviceState((Clock("cpu0", 800, 2000, 2000),), (Temperature("cpu", 40),), ())
    said = printed(print_state, RunState(before, before, ()))
    assert said == (
        "clock of cpu0: 800 MHz before, 800 after, limit 2000, maximum 2000\n"
        "temperature before and after: cpu 40 to 40 °C\n"
    )


@pytest.mark.parametrize("width", [60, 100])
def test_a_device_that_tells_nothing_prints_nothing(width: int) -> None:
    nothing = DeviceState((), (), ())
    assert printed(print_state, RunState(nothing, nothing, ()), width) == ""
