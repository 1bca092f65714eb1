"""What ``edgeexit bench`` prints of energy, clocks, temperatures and throttling."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from edgeexit.bench.energy import Energy
    from edgeexit.bench.state import RunState

__all__ = ["energy_table", "print_energy", "print_state"]


def print_energy(energy: Energy, out: Console) -> None:
    """Print joules per sample, or the line that says why there are none."""
    if energy.runs:
        out.print(energy_table(energy))
    for note in energy.notes:
        out.print(note)


def print_state(state: RunState, out: Console) -> None:
    """Print clocks and temperatures before and after the run, in a line each."""
    from edgeexit.bench.state import clock_lines, temperature_lines

    for line in (*clock_lines(state), *temperature_lines(state)):
        out.print(line)


def energy_table(energy: Energy) -> Table:
    """Return one row per candidate, and the idle device."""
    from rich.table import Table

    sensors = ", ".join(f"{sensor.kind} {sensor.name}" for sensor in energy.sensors)
    table = Table(title=f"energy on {energy.source}, one by one")
    table.add_column("")
    for heading in ("mean\nW", "per sample\nmJ", "lowest to highest\nturn, mJ", "above idle\nmJ"):
        table.add_column(heading, justify="right")
    table.add_column("turns", justify="right")
    for item in energy.runs:
        table.add_row(
            item.name,
            f"{item.power_w:.2f}",
            f"{1e3 * item.sample_j:.3f}",
            f"{1e3 * item.sample_min_j:.3f} to {1e3 * item.sample_max_j:.3f}",
            f"{1e3 * item.above_idle_j:.3f}",
            str(len(item.turns)),
        )
    table.add_section()
    table.add_row("idle", f"{energy.idle_w or 0:.2f}", "", "", "", str(len(energy.idle_turns)))
    table.caption = f"of {sensors}; everything that they see, this benchmark or not"
    return table
