"""Deadlines, with a backend whose parts take known times on a clock that only they move."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends.base import Runner
from edgeexit_runtime.gate import GateOutputs
from numpy.typing import NDArray
from support.messages import refused

Images = NDArray[np.float32]
NS = 1_000_000
EXITS = ("exit1", "exit2", "final")


class TimedRunner(Runner):
    """Image i leaves where its first pixel says; stage s takes ``ms[s]``, a branch 1, a keep 0.5.

    A stage returns at once and is done later, as on a device: only an exit or ``synchronize``
    waits for it. One buffer serves all exits, and is scribbled over by the next run of any.
    """

    device = "imagination"
    threads = None
    versions: dict[str, str] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.ms = {"stage1": 10.0, "stage2": 20.0, "stage3": 40.0}
        self.per_sample = 0.0  # more ms of a stage for each sample
        self.now = 0
        self.queued = 0.0
        self.calls: list[str] = []
        self.waiting: Images = np.empty(0, np.float32)
        self.buffer = GateOutputs(np.empty(9, bool), np.empty(9, "i4"), np.empty(9, "f4"))
        self.thresholds: dict[str, float] = {}

    def set_images(self, images: Images) -> None:
        self.calls.append(f"images {len(images)}")
        self.waiting = images[:, 0, 0, 0]

    def run_stage(self, name: str) -> None:
        self.calls.append(name)
        self.queued += self.ms[name] + self.per_sample * len(self.waiting)

    def run_exit(self, name: str) -> GateOutputs:
        self.calls.append(name)
        self.queued += 1
        self.synchronize()
        index = EXITS.index(name)
        count = len(self.waiting)
        leaves = (self.waiting == index) & (self.thresholds.get(name, 0) != ee.NEVER)
        self.buffer.exits[:count] = leaves | (name == "final")
        self.buffer.labels[:count] = (index + self.waiting) % 3
        self.buffer.confidences[:count] = (index + 1) / 10
        return GateOutputs(
            self.buffer.exits[:count], self.buffer.labels[:count], self.buffer.confidences[:count]
        )

    def logits(self, name: str) -> NDArray[np.float32]:
        raise NotImplementedError

    def keep(self, name: str, rows: NDArray[np.int64]) -> None:
        self.calls.append(f"keep {name} {rows.tolist()}")
        self.queued += 0.5
        self.waiting = self.waiting[rows]

    def set_threshold(self, name: str, threshold: float) -> None:
        self.thresholds[name] = threshold

    def synchronize(self) -> None:
        self.now += round(self.queued * NS)
        self.queued = 0

    def close(self) -> None:
        pass

    def since(self, call: Callable[[], Any]) -> tuple[list[str], float]:
        """Return what ``call`` ran, and the milliseconds it took."""
        self.calls.clear()
        start = self.now
        call()
        return list(self.calls), (self.now - start) / NS


@pytest.fixture
def runner() -> TimedRunner:
    return TimedRunner()


@pytest.fixture
def session(bundle: Path, runner: TimedRunner) -> ee.Session:
    """A session of ``chain``, which takes four images at a time, and the runner's clock."""
    return ee.Session(ee.load_manifest(bundle), runner, clock=lambda: runner.now)


def leaving_at(*exits: int) -> Images:
    images = np.zeros((len(exits), 3, 4, 4), np.float32)
    images[:, 0, 0, 0] = exits
    return images


def answers(result: ee.Predictions) -> tuple[list[int], list[int], list[bool]]:
    assert result.cut_short is not None
    return result.exits.tolist(), result.labels.tolist(), result.cut_short.tolist()


# one image: the ways take 11, 21 and 41 ms


@pytest.mark.parametrize(
    ("deadline_ms", "exit_", "cut"),
    [(73, 2, False), (72.9, 1, True), (32, 1, True), (31.9, 0, True), (11, 0, True), (1, 0, True)],
)
def test_the_last_answer_that_fits_is_given(
    session: ee.Session, runner: TimedRunner, deadline_ms: float, exit_: int, cut: bool
) -> None:
    assert session.warm_up() == {"exit1": 11, "exit2": 32, "final": 73}
    calls, took = runner.since(
        lambda: answers_are(session, leaving_at(2), deadline_ms, [exit_], [cut])
    )
    parts = ["stage1", "exit1", "stage2", "exit2", "stage3", "final"][: 2 * exit_ + 2]
    assert calls == ["images 1", *parts]
    assert took == (11, 32, 73)[exit_]  # past the deadline only where exit 1 alone is


def answers_are(
    session: ee.Session, images: Images, deadline_ms: float, exits: list[int], cut: list[bool]
) -> None:
    result = session.infer(images, deadline_ms=deadline_ms)
    labels = (np.array(exits) + images[:, 0, 0, 0]) % 3  # of the exit and the image
    assert answers(result) == (exits, labels.tolist(), cut)
    np.testing.assert_allclose(result.confidences, (np.array(exits) + 1) / 10)


def test_who_is_sure_leaves_uncut(session: ee.Session) -> None:
    session.warm_up()
    answers_are(session, leaving_at(0), 1, [0], [False])
    answers_are(session, leaving_at(1), 32, [1], [False])


def test_without_a_deadline_nobody_is_cut_short(session: ee.Session) -> None:
    assert session.infer(leaving_at(2, 0)).cut_short is None


def test_what_was_never_measured_is_run_and_then_known(session: ee.Session) -> None:
    session.infer(leaving_at(2))  # not measured
    answers_are(session, leaving_at(2), 40, [2], [False])  # took 73
    answers_are(session, leaving_at(2), 40, [1], [True])
    answers_are(session, leaving_at(2), 73, [2], [False])


# batches


def test_those_who_go_on_leave_with_the_last_answer(
    session: ee.Session, runner: TimedRunner
) -> None:
    session.warm_up(4)
    calls, took = runner.since(
        lambda: answers_are(
            session, leaving_at(2, 0, 1, 2), 40, [1, 0, 1, 1], [True, False, False, True]
        )
    )
    assert calls == ["images 4", "stage1", "exit1", "keep exit1 [0, 3, 2]", "stage2", "exit2"]
    assert took == 32.5


def test_rows_are_moved_only_for_a_next_part(session: ee.Session, runner: TimedRunner) -> None:
    session.warm_up(4)
    images = leaving_at(2, 0, 1, 2)
    calls, _ = runner.since(
        lambda: answers_are(session, images, 15, [0] * 4, [True, False, True, True])
    )
    assert calls == ["images 4", "stage1", "exit1"]


def test_moving_rows_is_part_of_the_next_step(session: ee.Session, runner: TimedRunner) -> None:
    session.warm_up(4)
    images = leaving_at(2, 0, 2, 2)
    answers_are(session, images, 32.2, [1, 0, 1, 1], [True, False, True, True])  # took 32.5
    answers_are(session, images, 32.2, [0, 0, 0, 0], [True, False, True, True])


def test_turns_leave_each_other_time_for_a_first_answer(
    session: ee.Session, runner: TimedRunner
) -> None:
    session.warm_up(4)
    images = leaving_at(*[2] * 10)  # turns of 4, 4 and 2
    calls, took = runner.since(lambda: session.infer(images, deadline_ms=60))
    assert took <= 60
    assert session.infer(images, deadline_ms=60).exits.tolist() == [1] * 4 + [0] * 6
    assert session.infer(images, deadline_ms=33).exits.tolist() == [0] * 10
    assert session.infer(images, deadline_ms=250).exits.tolist() == [2] * 10
    assert calls.count("stage2") == 1


def test_no_images_are_no_turn(session: ee.Session, runner: TimedRunner) -> None:
    result = session.infer(leaving_at(), deadline_ms=1)
    assert answers(result) == ([], [], [])
    assert result.cut_short is not None
    assert result.cut_short.dtype == np.bool_
    assert runner.calls == []


def test_times_are_kept_by_size_of_the_batch(session: ee.Session, runner: TimedRunner) -> None:
    runner.per_sample = 10
    assert session.warm_up(4) == {"exit1": 51, "exit2": 112, "final": 193}
    answers_are(session, leaving_at(2), 103, [2], [False])  # one alone: 21 + 31 + 51
    answers_are(session, leaving_at(*[2] * 4), 103, [0] * 4, [True] * 4)
    answers_are(session, leaving_at(*[2] * 3), 100, [0] * 3, [True] * 3)  # 41 + 61, as for four


def test_a_size_never_run_goes_by_the_next_larger_one(
    session: ee.Session, runner: TimedRunner
) -> None:
    session.infer(leaving_at(*[2] * 4), deadline_ms=100)
    answers_are(session, leaving_at(2), 40, [1], [True])
    answers_are(session, leaving_at(2), 30, [0], [True])


def test_of_two_larger_sizes_the_next_stands_in(session: ee.Session, runner: TimedRunner) -> None:
    runner.per_sample = 10
    for exits in ((2, 2), (2, 2, 2)):  # stage 2 with its branch: 41 ms and 51
        session.infer(leaving_at(*exits), deadline_ms=1000)
    answers_are(session, leaving_at(2), 61.9, [0], [True])  # stage 1 takes 21
    answers_are(session, leaving_at(2), 62, [1], [True])


def test_a_batch_that_shrank_goes_by_its_new_size(session: ee.Session, runner: TimedRunner) -> None:
    runner.per_sample = 10
    session.warm_up(4)
    # 51 ms for all, then 31 for the one who stays, and 0.5 to move it; 61 for all of them
    answers_are(session, leaving_at(0, 0, 0, 1), 85, [0, 0, 0, 1], [False] * 4)


def test_warming_up_measures_every_smaller_size(session: ee.Session, runner: TimedRunner) -> None:
    runner.per_sample = 10
    session.warm_up(3)
    answers_are(session, leaving_at(1, 1), 72, [1, 1], [False, False])  # 31 and 41; of three 51


# exits that are switched off


def test_an_exit_that_is_off_is_no_answer_where_there_is_one(
    session: ee.Session, runner: TimedRunner
) -> None:
    session.thresholds = {"exit1": 0.5, "exit2": ee.NEVER}
    assert session.warm_up() == {"exit1": 11, "final": 72}
    answers_are(session, leaving_at(2), 72, [2], [False])
    calls, _ = runner.since(lambda: answers_are(session, leaving_at(2), 71, [0], [True]))
    assert calls == ["images 1", "stage1", "exit1"]


def test_an_exit_that_is_off_answers_where_nothing_else_would(
    session: ee.Session, runner: TimedRunner
) -> None:
    session.thresholds = {"exit1": ee.NEVER, "exit2": ee.NEVER}
    assert session.warm_up(2) == {"final": 71}
    answers_are(session, leaving_at(0, 1), 71, [2, 2], [False, False])
    for deadline_ms in (70, 1):
        runner.calls.clear()
        start = runner.now
        answers_are(session, leaving_at(0, 1), deadline_ms, [0, 0], [True, True])
        assert runner.calls == ["images 2", "stage1", "exit1"]
        assert runner.now - start == 11 * NS


def test_a_stage_that_is_late_is_noticed_before_the_next(
    session: ee.Session, runner: TimedRunner
) -> None:
    session.thresholds = {"exit1": ee.NEVER, "exit2": ee.NEVER}
    session.warm_up()
    runner.ms["stage2"] = 60
    calls, _ = runner.since(lambda: answers_are(session, leaving_at(0), 90, [1], [True]))
    assert calls == ["images 1", "stage1", "stage2", "exit2"]


def test_exits_switched_on_after_warming_up_are_known(session: ee.Session) -> None:
    session.thresholds = {"exit1": ee.NEVER, "exit2": ee.NEVER}
    session.warm_up()
    session.thresholds = {"exit1": 0.5, "exit2": 0.5}
    answers_are(session, leaving_at(2), 40, [1], [True])


def test_exits_switched_off_after_warming_up_go_by_stage_and_branch(session: ee.Session) -> None:
    session.warm_up()
    session.thresholds = {"exit1": 0.5, "exit2": ee.NEVER}
    answers_are(session, leaving_at(2), 72.5, [0], [True])
    answers_are(session, leaving_at(2), 73, [2], [False])
    answers_are(session, leaving_at(2), 72.5, [2], [False])


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
    answers_are(session, leaving_at(1), 42, [1], [False])
    runner.ms["stage2"] = 20
    for _ in range(8):
        answers_are(session, leaving_at(1), 41, [0], [True])
        answers_are(session, leaving_at(1), 42, [1], [False])
    answers_are(session, leaving_at(1), 41, [1], [False])  # eight runs later it is forgotten


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
        answers_are(session, leaving_at(1), 40, [0], [True])
    answers_are(session, leaving_at(1), 1000, [1], [False])
    for _ in range(2):
        answers_are(session, leaving_at(1), 40, [0], [True])


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


def test_what_never_fitted_is_never_tried(session: ee.Session, runner: TimedRunner) -> None:
    session.warm_up()
    for _ in range(1000):
        assert session.infer(leaving_at(1), deadline_ms=31).exits[0] == 0


def test_warming_up_again_forgets(session: ee.Session, runner: TimedRunner) -> None:
    session.warm_up()
    runner.ms["stage2"] = 5
    answers_are(session, leaving_at(2), 25, [0], [True])
    assert session.warm_up(runs=1) == {"exit1": 11, "exit2": 17, "final": 58}
    answers_are(session, leaving_at(2), 25, [1], [True])


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


def test_threads_with_and_without_deadlines(
    bundle: Path,
    random_images: Callable[[int, int], Images],
) -> None:
    wrong: list[str] = []

    def work(session: ee.Session, seed: int) -> None:
        try:
            for turn in range(30):
                images = random_images(1 + turn % 9, 100 * seed + turn)
                want = session.infer(images)
                got = session.infer(images, deadline_ms=1e6)
                for name in ("labels", "exits", "confidences"):
                    np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
                assert got.cut_short is not None
                assert not got.cut_short.any()
                session.infer(images, deadline_ms=1e-3)
        except Exception as error:  # of another thread, which pytest does not see
            wrong.append(repr(error))

    with ee.load(bundle, threads=1) as session:
        workers = [threading.Thread(target=work, args=(session, seed)) for seed in (1, 2, 3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert wrong == []
