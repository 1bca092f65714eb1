"""The session with a backend of the reader's own: what it asks of one, and no more."""

from __future__ import annotations

from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.bundle.expected_entry import BINS, Expected
from edgeexit_runtime.steps import Step, begin_ahead
from edgeexit_runtime.testing import edit_manifest
from support.timed_runner import TimedRunner, leaving_at


@pytest.mark.parametrize(
    ("exits", "calls"),
    [
        ([], []),
        ([0], ["images 1", "stage1", "exit1"]),
        ([0, 0, 0], ["images 3", "stage1", "exit1"]),
        ([1], ["images 1", "stage1", "exit1", "stage2", "exit2"]),
        ([2, 2], ["images 2", "stage1", "exit1", "stage2", "exit2", "stage3", "final"]),
        (
            [2, 0, 1],
            [
                *("images 3", "stage1", "exit1", "keep exit1 [0, 2]"),
                *("stage2", "exit2", "keep exit2 [0]"),
                *("stage3", "final"),
            ],
        ),
        ([1, 0, 1], ["images 3", "stage1", "exit1", "keep exit1 [0, 2]", "stage2", "exit2"]),
        (
            [0, 0, 0, 0, 1, 0, 0, 1, 0],
            [
                *("images 4", "stage1", "exit1"),
                *("images 4", "stage1", "exit1", "keep exit1 [0, 3]", "stage2", "exit2"),
                *("images 1", "stage1", "exit1"),
            ],
        ),
    ],
)
def test_no_part_runs_in_vain_and_nothing_is_copied_in_vain(
    session: ee.Session, runner: TimedRunner, exits: list[int], calls: list[str]
) -> None:
    result = session.infer(leaving_at(*exits))
    assert runner.calls == calls
    assert result.exits.tolist() == exits
    np.testing.assert_array_equal(result.labels, 2 * np.array(exits) % 3)
    np.testing.assert_allclose(result.confidences, (np.array(exits) + 1) / 10)


def test_images_are_read_where_they_lie(session: ee.Session, runner: TimedRunner) -> None:
    images = leaving_at(0, 1, 2)
    session.infer(images)
    assert np.shares_memory(runner.images, images)
    session.infer(images[::-1])
    assert runner.images.flags.c_contiguous


def test_the_backend_is_told_thresholds_and_closed_once(
    session: ee.Session, runner: TimedRunner
) -> None:
    session.thresholds = {"exit2": 0.25, "exit1": 0.75}
    session.close()
    session.close()
    assert runner.calls == ["exit1 0.75", "exit2 0.25", "close"]


def test_session_goes_on_after_a_failure_of_the_backend(
    session: ee.Session, runner: TimedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise RuntimeError(f"no {name} today")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run_stage", fail)
        with pytest.raises(RuntimeError, match="no stage1 today"):
            session.infer(leaving_at(1))
    assert session.infer(leaving_at(1)).exits.tolist() == [1]


EXPECTED = {"exit1": 10, "exit2": 60, "final": 30}  # of 100 images: 10 % and 67 % of those who come


@pytest.fixture
def measured(bundle: Path) -> Path:
    """The bundle, which says where images leave."""
    histograms = {name: [count, *[0] * (BINS - 1)] for name, count in EXPECTED.items()}
    thresholds = {"exit1": 0.6, "exit2": 0.6}
    expected = {"images": 100, "data": "d", "thresholds": thresholds, "histograms": histograms}
    edit_manifest(bundle, lambda manifest: manifest.update(expected=expected))
    return bundle


def test_a_stage_is_begun_ahead_where_few_leave(measured: Path, runner: TimedRunner) -> None:
    """An image that comes alone, and behind exit1 alone."""
    runner.ahead_below = 0.5
    session = ee.Session(ee.load_manifest(measured), runner)
    for exit_, calls in (
        (0, ["stage1", "exit1", "stage2"]),
        (1, ["stage1", "exit1", "stage2", "exit2"]),
        (2, ["stage1", "exit1", "stage2", "exit2", "stage3", "final"]),
    ):
        runner.calls.clear()
        assert session.infer(leaving_at(exit_)).exits.tolist() == [exit_]
        assert runner.calls == ["images 1", *calls]
    session.infer(leaving_at(0))
    assert session.statistics().wasted_stages == 2
    runner.calls.clear()
    session.infer(leaving_at(0, 0))  # a batch is not
    session.infer(leaving_at(0), deadline_ms=1000)  # nor what has a deadline
    assert "stage2" not in runner.calls
    assert session.statistics(reset=True).wasted_stages == 2
    assert session.statistics().wasted_stages == 0


@pytest.mark.parametrize("below", [0.0, 0.1])  # the share itself is not below
def test_nothing_is_begun_ahead_otherwise(
    measured: Path, runner: TimedRunner, below: float
) -> None:
    runner.ahead_below = below
    session = ee.Session(ee.load_manifest(measured), runner)
    session.infer(leaving_at(0))
    assert "stage2" not in runner.calls


def test_what_is_begun_ahead_follows_the_thresholds(measured: Path, runner: TimedRunner) -> None:
    runner.ahead_below = 1.0
    session = ee.Session(ee.load_manifest(measured), runner)
    session.thresholds = {"exit1": 0.7, "exit2": 0.6}  # nothing is known at these
    session.infer(leaving_at(0))
    assert "stage2" not in runner.calls
    session.thresholds = {"exit1": 0.6, "exit2": 0.6}
    session.infer(leaving_at(0))
    assert "stage2" in runner.calls


def test_an_exit_that_is_off_begins_nothing_ahead() -> None:
    steps = (Step("stage1", None), Step("stage2", "exit2"), Step("stage3", "final"))
    got = begin_ahead(steps, {"exit1": 0.0, "exit2": 0.2}, 0.5)
    assert got == (steps[0], Step("stage2", "exit2", "stage3"), Step(None, "final"))
    steps = (Step("stage1", "exit1"), Step("stage2", None), Step(None, "final"))
    got = begin_ahead(steps, {"exit1": 0.2, "exit2": 0.0}, 0.5)
    assert got == (Step("stage1", "exit1", "stage2"), Step(None, None), steps[2])


def test_shares_of_those_who_reach_an_exit() -> None:
    def expected(*counts: int) -> dict[str, float]:
        names = ("exit1", "exit2", "final")
        histograms = {
            name: (count, *[0] * (BINS - 1)) for name, count in zip(names, counts, strict=True)
        }
        return Expected(sum(counts), "d", {}, histograms).leaving_shares(names)

    assert expected(10, 60, 30) == {"exit1": 0.1, "exit2": 60 / 90, "final": 1.0}
    assert expected(10, 0, 0) == {"exit1": 1.0}  # nobody has reached the others
