"""How the terminal draws what commands found."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from support.reports import made_report

from edgeexit.bench.results.state import Clock, DeviceState, RunState, Temperature
from edgeexit.cli.output.bench import print_details
from edgeexit.cli.terminal import print_table
from edgeexit.formats import Table, named_numbers

TABLE = Table.of(
    "energy on [red] photos",
    named_numbers("", "mean\nms", "ratio"),
    [("plain backbone", "4.00", "1.000")],
    [("early\nexit", "12.00", "3.000")],
    notes=["one", "two"],
)


def drawn(width: int) -> list[str]:
    console = Console(width=width, markup=False, highlight=False)
    with console.capture() as capture:
        print_table(TABLE, console)
    return capture.get().splitlines()


def test_a_table_in_the_terminal() -> None:
    assert [line.rstrip() for line in drawn(80)] == [
        "      energy on [red] photos",
        "┏━━━━━━━━━━━━━━━━┳━━━━━━━┳━━━━━━━┓",
        "┃                ┃  mean ┃       ┃",
        "┃                ┃    ms ┃ ratio ┃",
        "┡━━━━━━━━━━━━━━━━╇━━━━━━━╇━━━━━━━┩",
        "│ plain backbone │  4.00 │ 1.000 │",
        "├────────────────┼───────┼───────┤",
        "│ early          │ 12.00 │ 3.000 │",
        "│ exit           │       │       │",
        "└────────────────┴───────┴───────┘",
        "               one",
        "               two",
    ]


def test_columns_stand_closer_where_the_terminal_is_narrow() -> None:
    assert "│plain backbone│ 4.00│1.000│" in drawn(30)
    assert "│plain     │ 4.00│1.000│" in drawn(24)  # a name is broken, a number never


def test_clocks_and_temperatures_are_printed_where_the_device_tells_them() -> None:
    told = DeviceState((Clock("cpu0", 800, 2000, 2000),), (Temperature("cpu", 40),), ())
    nothing = DeviceState((), (), ())
    said = []
    for state in (told, nothing):
        console = Console(width=100, markup=False, highlight=False)
        with console.capture() as capture:
            print_details(replace(made_report(), state=RunState(state, state, ())), console)
        said.append(" ".join(capture.get().split()))
    assert "clock of cpu0: 800 MHz before, 800 after, limit 2000, maximum 2000" in said[0]
    assert "temperature before and after: cpu 40 to 40 °C" in said[0]
    assert "reports neither clocks nor temperatures" in said[1]
    assert "No energy was measured" in said[1]
