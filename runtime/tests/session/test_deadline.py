"""Deadlines, with a backend whose parts take known times on a clock that only they move."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from numpy.typing import NDArray
from support.messages import refused
from support.timed_runner import NS, TimedRunner, leaving_at

Images = NDArray[np.float32]


def answers_are(
    session: ee.Session, images: Images, deadline_ms: float, exits: list[int]
) -> tuple[list[str], float]:
    """Return what was run, and the milliseconds that it took.

    Those are cut short that leave before the exit that their first pixel names.
    """
    runner = session.runner
    assert isinstance(runner, TimedRunner)
    runner.calls.clear()
    start = runner.now
    result = session.infer(images, deadline_ms=deadline_ms)
    own = images[:, 0, 0, 0]
    assert result.exits.tolist() == exits
    np.testing.assert_array_equal(result.labels, (result.exits + own) % 3)
    assert result.cut_short is not None
    assert result.cut_short.dtype == np.bool_
    np.testing.assert_array_equal(result.cut_short, result.exits < own)
    np.testing.assert_allclose(result.confidences, (np.array(exits) + 1) / 10)
    return runner.calls, (runner.now - start) / NS


# one image: the ways take 11, 21 and 41 ms


@pytest.mark.parametrize(
    ("deadline_ms", "exit_"), [(73, 2), (72.9, 1), (32, 1), (31.9, 0), (11, 0), (1, 0)]
)
def test_the_last_answer_that_fits_is_given(
    session: ee.Session, deadline_ms: float, exit_: int
) -> None:
    assert session.warm_up() == {"exit1": 11, "exit2": 32, "final": 73}
    calls, took = answers_are(session, leaving_at(2), deadline_ms, [exit_])
    parts = ["stage1", "exit1", "stage2", "exit2", "stage3", "final"][: 2 * exit_ + 2]
    assert calls == ["images 1", *parts]
    assert took == (11, 32, 73)[exit_]  # past the deadline only where exit 1 alone is


def test_who_is_sure_leaves_uncut(session: ee.Session) -> None:
    session.warm_up()
    answers_are(session, leaving_at(0), 1, [0])
    answers_are(session, leaving_at(1), 32, [1])


def test_without_a_deadline_nobody_is_cut_short(session: ee.Session) -> None:
    assert session.infer(leaving_at(2, 0)).cut_short is None


def test_what_was_never_measured_is_run_and_then_known(session: ee.Session) -> None:
    session.infer(leaving_at(2))  # not measured
    answers_are(session, leaving_at(2), 40, [2])  # took 73
    answers_are(session, leaving_at(2), 40, [1])
    answers_are(session, leaving_at(2), 73, [2])


# batches


def test_those_who_go_on_leave_with_the_last_answer(session: ee.Session) -> None:
    session.warm_up(4)
    calls, took = answers_are(session, leaving_at(2, 0, 1, 2), 40, [1, 0, 1, 1])
    assert calls == ["images 4", "stage1", "exit1", "keep exit1 [0, 3, 2]", "stage2", "exit2"]
    assert took == 32.5


def test_rows_are_moved_only_for_a_next_part(session: ee.Session) -> None:
    session.warm_up(4)
    images = leaving_at(2, 0, 1, 2)
    calls, _ = answers_are(session, images, 15, [0] * 4)
    assert calls == ["images 4", "stage1", "exit1"]


def test_moving_rows_is_part_of_the_next_step(session: ee.Session) -> None:
    session.warm_up(4)
    images = leaving_at(2, 0, 2, 2)
    answers_are(session, images, 32.2, [1, 0, 1, 1])  # took 32.5
    answers_are(session, images, 32.2, [0, 0, 0, 0])


def test_turns_leave_each_other_time_for_a_first_answer(session: ee.Session) -> None:
    session.warm_up(4)
    images = leaving_at(*[2] * 10)  # turns of 4, 4 and 2
    calls, took = answers_are(session, images, 60, [1] * 4 + [0] * 6)
    assert took <= 60
    assert calls.count("stage2") == 1
    assert session.infer(images, deadline_ms=33).exits.tolist() == [0] * 10
    assert session.infer(images, deadline_ms=250).exits.tolist() == [2] * 10


def test_no_images_are_no_turn(session: ee.Session) -> None:
    assert answers_are(session, leaving_at(), 1, []) == ([], 0)


def test_times_are_kept_by_size_of_the_batch(session: ee.Session, runner: TimedRunner) -> None:
    runner.per_sample = 10
    assert session.warm_up(4) == {"exit1": 51, "exit2": 112, "final": 193}
    answers_are(session, leaving_at(2), 103, [2])  # one alone: 21 + 31 + 51
    answers_are(session, leaving_at(*[2] * 4), 103, [0] * 4)
    answers_are(session, leaving_at(*[2] * 3), 100, [0] * 3)  # 41 + 61, as for four


def test_a_size_never_run_goes_by_the_next_larger_one(session: ee.Session) -> None:
    session.infer(leaving_at(*[2] * 4), deadline_ms=100)
    answers_are(session, leaving_at(2), 40, [1])
    answers_are(session, leaving_at(2), 30, [0])


def test_of_two_larger_sizes_the_next_stands_in(session: ee.Session, runner: TimedRunner) -> None:
    runner.per_sample = 10
    for exits in ((2, 2), (2, 2, 2)):  # stage 2 with its branch: 41 ms and 51
        session.infer(leaving_at(*exits), deadline_ms=1000)
    answers_are(session, leaving_at(2), 61.9, [0])  # stage 1 takes 21
    answers_are(session, leaving_at(2), 62, [1])


def test_a_batch_that_shrank_goes_by_its_new_size(session: ee.Session, runner: TimedRunner) -> None:
    runner.per_sample = 10
    session.warm_up(4)
    # 51 ms for all, then 31 for the one who stays, and 0.5 to move it; 61 for all of them
    answers_are(session, leaving_at(0, 0, 0, 1), 85, [0, 0, 0, 1])


def test_warming_up_measures_every_smaller_size(session: ee.Session, runner: TimedRunner) -> None:
    runner.per_sample = 10
    session.warm_up(3)
    answers_are(session, leaving_at(1, 1), 72, [1, 1])  # 31 and 41; of three 51


# exits that are switched off


def test_an_exit_that_is_off_is_no_answer_where_there_is_one(session: ee.Session) -> None:
    session.thresholds = {"exit1": 0.5, "exit2": ee.NEVER}
    assert session.warm_up() == {"exit1": 11, "final": 72}
    answers_are(session, leaving_at(2), 72, [2])
    calls, _ = answers_are(session, leaving_at(2), 71, [0])
    assert calls == ["images 1", "stage1", "exit1"]


def test_an_exit_that_is_off_answers_where_nothing_else_would(session: ee.Session) -> None:
    session.thresholds = {"exit1": ee.NEVER, "exit2": ee.NEVER}
    assert session.warm_up(2) == {"final": 71}
    answers_are(session, leaving_at(1, 2), 71, [2, 2])
    for deadline_ms in (70, 1):
        calls, took = answers_are(session, leaving_at(1, 2), deadline_ms, [0, 0])
        assert calls == ["images 2", "stage1", "exit1"]
        assert took == 11


def test_a_stage_that_is_late_is_noticed_before_the_next(
    session: ee.Session, runner: TimedRunner
) -> None:
    session.thresholds = {"exit1": ee.NEVER, "exit2": ee.NEVER}
    session.warm_up()
    runner.ms["stage2"] = 60
    calls, _ = answers_are(session, leaving_at(2), 90, [1])
    assert calls == ["images 1", "stage1", "stage2", "exit2"]


def test_exits_switched_on_after_warming_up_are_known(session: ee.Session) -> None:
    session.thresholds = {"exit1": ee.NEVER, "exit2": ee.NEVER}
    session.warm_up()
    session.thresholds = {"exit1": 0.5, "exit2": 0.5}
    answers_are(session, leaving_at(2), 40, [1])


def test_exits_switched_off_after_warming_up_go_by_stage_and_branch(session: ee.Session) -> None:
    session.warm_up()
    session.thresholds = {"exit1": 0.5, "exit2": ee.NEVER}
    answers_are(session, leaving_at(2), 72.5, [0])
    answers_are(session, leaving_at(2), 73, [2])
    answers_are(session, leaving_at(2), 72.5, [2])


def test_the_plain_backbone_answers_whatever_the_deadline(bundle: Path) -> None:
    with ee.load_baseline(bundle, threads=1) as baseline:
        assert list(baseline.warm_up(2, runs=1)) == ["baseline"]
        result = baseline.infer(leaving_at(0, 0), deadline_ms=1e-3)
        assert result.cut_short is not None
        assert result.cut_short.tolist() == [False, False]


# what is expected


def test_the_longest_of_the_last_runs_counts(session: ee.Session, runner: TimedRunner) -> None:
    session.warm_up()
    runner.ms["stage2"] = 30
    answers_are(session, leaving_at(1), 42, [1])
    runner.ms["stage2"] = 20
    for _ in range(8):
        answers_are(session, leaving_at(1), 41, [0])
        answers_are(session, leaving_at(1), 42, [1])
    answers_are(session, leaving_at(1), 41, [1])  # eight runs later it is forgotten


def test_a_hiccup_is_forgotten_after_some_refusals(
    session: ee.Session, runner: TimedRunner
) -> None:
    session.warm_up()
    runner.ms["stage2"] = 500
    session.infer(leaving_at(1), deadline_ms=40)
    runner.ms["stage2"] = 20
    exits = [session.infer(leaving_at(1), deadline_ms=40).exits[0] for _ in range(40)]
    assert exits == [0] * 32 + [1] * 8


def test_a_run_ends_a_row_of_refusals(session: ee.Session, runner: TimedRunner) -> None:
    session.warm_up()
    runner.ms["stage2"] = 500
    session.infer(leaving_at(1), deadline_ms=40)
    runner.ms["stage2"] = 20
    for _ in range(31):
        answers_are(session, leaving_at(1), 40, [0])
    answers_are(session, leaving_at(1), 1000, [1])
    for _ in range(2):
        answers_are(session, leaving_at(1), 40, [0])


def test_a_slow_spell_is_forgotten_down_to_the_fastest_run(
    session: ee.Session, runner: TimedRunner
) -> None:
    session.warm_up()
    runner.ms["stage2"] = 50
    for _ in range(8):
        session.infer(leaving_at(1), deadline_ms=100)
    exits = [session.infer(leaving_at(1), deadline_ms=40).exits[0] for _ in range(8 * 32 + 1)]
    assert exits == [0] * 8 * 32 + [1]  # tried once more, and late
    exits = [session.infer(leaving_at(1), deadline_ms=40).exits[0] for _ in range(32)]
    assert exits == [0] * 32


def test_what_never_fitted_is_never_tried(session: ee.Session) -> None:
    session.warm_up()
    for _ in range(1000):
        assert session.infer(leaving_at(1), deadline_ms=31).exits[0] == 0


def test_warming_up_again_forgets(session: ee.Session, runner: TimedRunner) -> None:
    session.warm_up()
    runner.ms["stage2"] = 5
    answers_are(session, leaving_at(2), 25, [0])
    assert session.warm_up(runs=1) == {"exit1": 11, "exit2": 17, "final": 58}
    answers_are(session, leaving_at(2), 25, [1])


def test_the_first_run_is_not_measured(session: ee.Session, runner: TimedRunner) -> None:
    synchronize = runner.synchronize

    def slow_at_first() -> None:
        runner.queued += 100 * (runner.now == 0)
        synchronize()

    runner.synchronize = slow_at_first  # type: ignore[method-assign]
    assert session.warm_up()["exit1"] == 11


# arguments and threads


@pytest.mark.parametrize(
    "deadline_ms",
    [0, -1, -0.0, float("nan"), float("inf"), "10", True, [5], np.float32("nan"), 1j],
)
def test_a_deadline_that_is_none(session: ee.Session, deadline_ms: Any) -> None:
    with refused(ee.InputError, "deadline_ms", "above 0", "None", repr(deadline_ms)):
        session.infer(leaving_at(0), deadline_ms=deadline_ms)


@pytest.mark.parametrize("deadline_ms", [1, np.float32(1), np.int64(1), 1e-9, 1e12])
def test_a_deadline_of_any_kind_of_number(session: ee.Session, deadline_ms: float) -> None:
    assert session.infer(leaving_at(0), deadline_ms=deadline_ms).exits.tolist() == [0]


def test_images_are_checked_as_ever(session: ee.Session) -> None:
    with pytest.raises(ee.InputError, match="images: expected shape"):
        session.infer(np.zeros((1, 3, 5, 5), np.float32), deadline_ms=1)
    session.close()
    for call in (lambda: session.infer(leaving_at(0), deadline_ms=1), session.warm_up):
        with pytest.raises(ee.InputError, match="the session is closed"):
            call()


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ({"batch_size": 0}, ("1 to 4", "got 0")),
        ({"batch_size": 5}, ("1 to 4", "got 5")),
        ({"batch_size": 1.0}, ("1 to 4", "got 1.0")),
        ({"runs": 0}, ("whole number above 0", "got 0")),
    ],
)
def test_a_warm_up_that_cannot_be(
    session: ee.Session, arguments: dict[str, Any], facts: tuple[str, ...]
) -> None:
    with refused(ee.InputError, *arguments, *facts):
        session.warm_up(**arguments)


class HeldRunner(TimedRunner):
    """Waits within its last stage once it is :attr:`armed`; the clock tells who asks meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.armed = False
        self.began, self.go_on, self.asked = (threading.Event() for _ in range(3))

    def run_stage(self, name: str) -> None:
        if self.armed and name == "stage3":
            self.began.set()
            assert self.go_on.wait(10)
        super().run_stage(name)

    def clock(self) -> int:
        if self.began.is_set():
            self.asked.set()
        return self.now


def test_waiting_for_another_thread_counts(bundle: Path) -> None:
    runner = HeldRunner()
    session = ee.Session(ee.load_manifest(bundle), runner, clock=runner.clock)
    session.warm_up()
    runner.armed = True
    results: dict[str, ee.Predictions] = {}

    def call(name: str) -> None:
        results[name] = session.infer(leaving_at(2), deadline_ms=80)

    first = threading.Thread(target=call, args=("first",))
    first.start()
    assert runner.began.wait(10)  # 32 ms have passed
    second = threading.Thread(target=call, args=("second",))
    second.start()
    assert runner.asked.wait(10)  # its deadline is at 112, and it waits until 73
    runner.go_on.set()
    first.join(10)
    second.join(10)
    assert results["first"].exits.tolist() == [2]
    assert results["second"].exits.tolist() == [1]
