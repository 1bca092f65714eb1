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
    Predictions,
    Routing,
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


def assert_answers(answers: Predictions, labels: list[int], exits: list[int]) -> None:
    assert answers.labels.dtype == answers.exits.dtype == np.int64
    assert answers.confidences.dtype == np.float32
    assert answers.labels.tolist() == labels
    assert answers.exits.tolist() == exits
    np.testing.assert_allclose(answers.confidences, np.array(labels) / 100, rtol=1e-6)


def test_samples_leave_one_by_one_over_three_exits() -> None:
    routing = Routing(5)

    rows = routing.leave(gate([0, 1, 0, 0, 1], [10, 11, 12, 13, 14]), 0)
    assert rows is not None
    assert rows.dtype == np.int64
    assert rows.tolist() == [0, 3, 2]

    rows = routing.leave(gate([0, 0, 1], [20, 23, 22]), 1)
    assert rows is not None
    assert rows.tolist() == [0, 1]  # within what is left of the batch, not within the batch

    answers = routing.leave_all(gate([0, 0], [30, 33]), 2)
    assert_answers(answers, [30, 11, 22, 33, 14], [2, 0, 1, 2, 0])


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


@pytest.mark.parametrize("count", [1, 2])
def test_nobody_leaves(count: int) -> None:
    routing = Routing(count)
    assert routing.leave(gate([0] * count, [10] * count), 0) is None
    assert_answers(routing.leave_all(gate([0] * count, [20] * count), 1), [20] * count, [1] * count)


@pytest.mark.parametrize("count", [1, 2])
def test_everyone_leaves_at_once(count: int) -> None:
    outputs = gate([1] * count, [10] * count)
    routing = Routing(count)
    rows = routing.leave(outputs, 0)
    assert rows is not None
    assert rows.dtype == np.int64
    assert len(rows) == 0
    assert_answers(routing.leave_all(outputs, 0), [10] * count, [0] * count)


def test_everyone_who_is_left_leaves() -> None:
    routing = Routing(3)
    routing.leave(gate([0, 1, 0], [10, 11, 12]), 0)
    outputs = gate([1, 1], [20, 22])
    rows = routing.leave(outputs, 1)
    assert rows is not None
    assert len(rows) == 0
    assert_answers(routing.leave_all(outputs, 1), [20, 11, 22], [1, 0, 1])


def test_the_last_who_waits_leaves_at_a_later_exit() -> None:
    routing = Routing(2)
    routing.leave(gate([1, 0], [10, 11]), 0)
    assert routing.leave(gate([0], [21]), 1) is None
    assert_answers(routing.leave_all(gate([0], [31]), 2), [10, 31], [0, 2])


def test_answers_do_not_change_with_the_gates_buffers() -> None:
    routing = Routing(3)
    outputs = gate([0, 1, 0], [10, 11, 12])
    routing.leave(outputs, 0)
    outputs.labels.fill(99)
    outputs.exits.fill(True)
    rest = gate([0, 0], [20, 22])
    answers = routing.leave_all(rest, 1)
    rest.labels.fill(99)
    assert_answers(answers, [20, 11, 22], [1, 0, 1])

    whole = gate([1, 1], [10, 11])
    answers = Routing(2).leave_all(whole, 0)
    for array in (whole.labels, whole.confidences):
        array.fill(99)
    assert_answers(answers, [10, 11], [0, 0])


def test_batches_are_joined_in_order() -> None:
    parts = [
        Routing(2).leave_all(gate([1, 1], [10, 11]), 0),
        Routing(1).leave_all(gate([1], [12]), 1),
    ]
    assert_answers(Predictions.joined(parts), [10, 11, 12], [0, 0, 1])
    assert_answers(Predictions.joined([]), [], [])


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
        ({"exit1": 0.5, "exit2": 0.5, "exit3": 0.5}, ("'exit3'", "exit1, exit2")),
        ({"exit1": 0.5, "exit2": 0.5, "final": 0.5}, ("'final'", "exit1, exit2")),
        ({"exit2": 0.5}, ("none", "exit1")),
        ({}, ("none", "exit1, exit2")),
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
    with pytest.raises(InputError, match=r"^thresholds: no exit 'final' takes one; known: none$"):
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
