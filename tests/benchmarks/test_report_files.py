"""Tables, and figures over seeds, of the programs that write docs/results/."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

import pytest

Program = Callable[[str], ModuleType]


def test_rows_become_a_table(program: Program) -> None:
    table = program("report_files").markdown([("", "N"), ("a|b", 1)])
    assert table == "|  | N |\n| --- | --- |\n| a\\|b | 1 |"


def test_an_interval_over_seeds_is_students(program: Program) -> None:
    over_seeds = program("report_files").over_seeds
    interval = over_seeds([1, 2, 3, 4, 5])
    reach = 2.776 * math.sqrt(2.5 / 5)  # t of 4 degrees of freedom
    assert interval.value == 3
    assert (interval.low, interval.high) == pytest.approx((3 - reach, 3 + reach), abs=1e-3)
    assert over_seeds([3]).high == math.inf
