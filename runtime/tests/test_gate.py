"""Who leaves here, and who goes on."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from edgeexit_runtime.errors import BackendError, InputError
from edgeexit_runtime.gate import (
    MAX_CONFIDENCE,
    NEVER,
    GateOutputs,
    average_macs,
    check_gate,
    check_thresholds,
    compacted_rows,
    saved_costs,
)
from support.messages import refused


def gate(exits: list[int], labels: list[int]) -> GateOutputs:
    return GateOutputs(
        np.array(exits, np.bool_),
        np.array(labels, np.int32),
        np.array(labels, np.float32) / 100,
    )


def test_as_few_rows_as_possible_change_their_place() -> None:
    for count in range(2, 11):
        for flags in product([False, True], repeat=count):
            leaving = np.array(flags)
            staying = np.flatnonzero(~leaving)
            rows = compacted_rows(leaving)
            assert rows.dtype == np.int64
            assert sorted(rows) == staying.tolist()
            moved = rows != np.arange(len(rows))
            assert moved.sum() == np.count_nonzero(leaving[: len(rows)])
            assert (rows[moved] >= len(rows)).all()  # from behind those who go on


def test_thresholds_come_back_in_the_order_of_the_exits() -> None:
    given = {"exit2": np.float32(0.5), "exit1": 1}
    checked = check_thresholds(given, ("exit1", "exit2"))
    assert list(checked.items()) == [("exit1", 1.0), ("exit2", 0.5)]
    assert all(type(value) is float for value in checked.values())


def test_thresholds_at_the_ends_of_the_range() -> None:
    thresholds = {"exit1": 0.0, "exit2": NEVER}
    assert check_thresholds(thresholds, ("exit1", "exit2")) == thresholds


@pytest.mark.parametrize(
    ("thresholds", "facts"),
    [
        ({"exit1": 0.5, "exit2": 0.5, "exit3": 0.5}, ("'exit1', 'exit2'", "'exit3'")),
        ({"exit2": 0.5}, ("'exit1', 'exit2'", "['exit2']")),
        ({}, ("'exit1', 'exit2'", "[]")),
        ({"exit1": 0.5, "exit2": -0.1}, ("exit2", "0 to 1", "2.0", "never", "-0.1")),
        ({"exit1": 2.5, "exit2": 0.5}, ("exit1", "0 to 1", "2.0", "never", "2.5")),
        ({"exit1": float("nan"), "exit2": 0.5}, ("exit1", "0 to 1", "nan")),
        ({"exit1": "high", "exit2": 0.5}, ("exit1", "0 to 1", "high")),
        ({"exit1": None, "exit2": 0.5}, ("exit1", "0 to 1", "None")),
        ([0.5, 0.5], ("mapping", "{'exit1': 0.8}", "[0.5, 0.5]")),
        (0.5, ("mapping", "{'exit1': 0.8}", "0.5")),
    ],
)
def test_thresholds_that_do_not_fit(thresholds: Any, facts: tuple[str, ...]) -> None:
    with refused(InputError, "thresholds", *facts):
        check_thresholds(thresholds, ("exit1", "exit2"))


def test_no_threshold_where_there_is_one_exit() -> None:
    assert check_thresholds({}, ()) == {}
    with refused(InputError, "thresholds: expected one for each of [], got ['final']"):
        check_thresholds({"final": 0.5}, ())


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(
    ("confidence", "label"),
    [
        *((confidence, 1) for confidence in (np.nan, np.inf, -np.inf, 1.002, -0.001)),
        *((0.5, label) for label in (-1, 3, 2**31 - 1, -(2**31))),
    ],
)
def test_a_sample_with_an_impossible_answer_is_found(
    count: int, confidence: float, label: int
) -> None:
    for place in range(count):
        given = gate([0] * count, [2] * count)
        given.confidences[place], given.labels[place] = confidence, label
        with pytest.raises(BackendError, match=r"^exit2: expected confidences of 0 to 1") as told:
            check_gate("exit2", given, 3)
        got = str(told.value).partition("got ")[2]
        assert f"{given.confidences[place]:g}" in got
        assert f"{label:g}" in got


@pytest.mark.parametrize("count", [1, 2])
def test_answers_at_the_limits_are_possible(count: int) -> None:
    for confidence in (0, 1, np.nextafter(np.float16(1), np.float16(2)), MAX_CONFIDENCE):
        for label in (0, 2):
            given = gate([1] * count, [label] * count)
            given.confidences[:] = confidence
            assert check_gate("exit1", given, 3) is given


def test_flags_that_are_no_bools_are_refused() -> None:
    """numpy would count them wrongly."""
    given = gate([1, 0], [0, 0])
    given.exits.view(np.uint8)[0] = 2
    with pytest.raises(BackendError, match=r"^exit1: .* got 0 to 0, 0 to 0 and 0 to 2; "):
        check_gate("exit1", given, 3)


# Eq. 5


@pytest.mark.parametrize(
    ("shares", "average"),
    [((0.5, 0.125, 0.375), 10), ((1, 0, 0), 4), ((0, 1, 0), 8), ((0, 0, 1), 56 / 3)],
)
def test_a_path_counts_as_much_as_images_that_take_it(
    shares: tuple[float, ...], average: float
) -> None:
    names = ("exit1", "exit2", "final")
    paths = dict(zip(names, (4, 8, 56 / 3), strict=True))
    assert average_macs(dict(zip(names, shares, strict=True)), paths) == pytest.approx(average)


@pytest.mark.parametrize(
    ("off", "saved"),
    [
        ((), (0, 0, 0)),
        (("exit1",), (5, 5, 5)),
        (("exit2",), (0, 7, 7)),
        (("exit1", "exit2"), (5, 12, 12)),
    ],
)
def test_branches_that_are_off_are_saved_by_all_who_come_past(
    off: tuple[str, ...], saved: tuple[int, ...]
) -> None:
    """An exit with a threshold of 1 is on: an image may be as sure as that."""
    branches = {"exit1": 5, "exit2": 7, "final": 9}
    thresholds = {name: NEVER if name in off else 1.0 for name in ("exit1", "exit2")}
    assert tuple(saved_costs(branches, thresholds).values()) == saved
