"""What a session counts: answers by exit and confidence, cut short, latencies."""

from __future__ import annotations

import threading
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.bundle.expected_entry import BINS, CONFIDENCE_EDGES
from edgeexit_runtime.field.statistics import BUFFER_SIZE, Tally
from edgeexit_runtime.testing import images_leaving_at

NAMES = ("exit1", "final")
MS = 1_000_000


def answers(
    exits: list[int], confidences: list[float], cut_short: list[bool] | None = None
) -> ee.Predictions:
    return ee.Predictions(
        np.zeros(len(exits), np.int64),
        np.array(confidences, np.float32),
        np.array(exits, np.int64),
        None if cut_short is None else np.array(cut_short),
    )


def test_answers_are_counted_by_exit_and_confidence() -> None:
    tally = Tally(2)
    tally.add(answers([0, 1, 0], [0.95, 0.25, 1 + 2**-10]), 3 * MS)
    tally.add(answers([0, 1], [0.5, 0.0], [True, False]), MS)
    found = tally.statistics(NAMES)
    first, last = found.exits
    assert (found.images, found.calls, found.cut_short) == (5, 2, 1)
    assert (first.name, first.images, first.share, first.cut_short) == ("exit1", 3, 0.6, 1)
    assert first.histogram == (0, 0, 1, 0, 0, 0, 1, 0, 0, 1)  # an edge belongs to the bin above it
    assert last.histogram == (1, 1, *[0] * (BINS - 2))
    assert first.mean_confidence == pytest.approx((0.95 + 1 + 2**-10 + 0.5) / 3)
    assert last.mean_confidence == pytest.approx(0.125)


def test_nothing_was_seen_yet() -> None:
    found = Tally(1).statistics(["final"])
    (final,) = found.exits
    assert (found.images, found.calls, found.latency) == (0, 0, None)
    assert (final.share, final.mean_confidence) == (0.0, None)


@pytest.mark.parametrize(
    "size", [1, 7, BUFFER_SIZE - 1, BUFFER_SIZE, BUFFER_SIZE + 1, 3 * BUFFER_SIZE]
)
def test_as_many_as_come_are_counted(size: int) -> None:
    """Also where they fill what is kept, or are more than that at once."""
    rng, tally = np.random.default_rng(size), Tally(3)
    exits, confidences = [], []
    for _ in range(2 * BUFFER_SIZE // size + 3):
        exits.append(rng.integers(0, 3, size))
        confidences.append(rng.uniform(0, 1, size).astype(np.float32))
        tally.add(ee.Predictions(exits[-1], confidences[-1], exits[-1]), MS)
    found = tally.statistics(["a", "b", "c"])
    every, sure = np.concatenate(exits), np.concatenate(confidences)
    assert found.calls == len(exits)
    for index, exit_ in enumerate(found.exits):
        edges = np.array(CONFIDENCE_EDGES, np.float32)
        expected, _ = np.histogram(sure[every == index], edges)
        assert exit_.histogram == tuple(expected.tolist())
        assert exit_.mean_confidence == pytest.approx(sure[every == index].mean(), rel=1e-5)


def test_percentiles_of_latencies_are_within_a_percent() -> None:
    tally, rng = Tally(1), np.random.default_rng(0)
    took_ms = rng.lognormal(0, 2, 5000)
    for ms in took_ms:
        tally.add(answers([0], [0.5]), round(ms * MS))
    latency = tally.statistics(["final"]).latency
    assert latency is not None
    for share, got in ((50, latency.p50_ms), (90, latency.p90_ms), (99, latency.p99_ms)):
        assert got == pytest.approx(np.percentile(took_ms, share), rel=0.015)
    assert latency.mean_ms == pytest.approx(took_ms.mean(), rel=1e-6)
    assert latency.max_ms == pytest.approx(took_ms.max(), rel=1e-6)


def test_a_session_counts_what_infer_answers(bundle: Path) -> None:
    images = images_leaving_at([0, 1, 2, 0, 0, 0, 0, 1, 2])  # of more than one turn
    with ee.load(bundle, threads=1) as session:
        session.infer(images)
        session.infer(images[:0])
        session.infer_all_exits(images)
        session.warm_up()
        with pytest.raises(ee.InputError):
            session.infer(images[:, :1])
        found = session.statistics(reset=True)
        assert session.statistics().images == 0
    assert [exit_.name for exit_ in found.exits] == ["exit1", "exit2", "final"]
    assert [exit_.images for exit_ in found.exits] == [5, 2, 2]
    assert (found.images, found.calls) == (9, 1)


def test_other_thresholds_start_anew(bundle: Path) -> None:
    with ee.load(bundle, threads=1) as session:
        session.infer(images_leaving_at([0, 1]))
        session.thresholds = dict(session.thresholds)
        assert session.statistics().images == 2
        session.thresholds = {"exit1": 0.7, "exit2": 0.7}
        assert session.statistics().images == 0


def test_threads_see_whole_calls(bundle: Path) -> None:
    images = images_leaving_at([0, 1, 2, 0])
    seen: list[ee.Statistics] = []
    with ee.load(bundle, threads=1) as session:
        session.infer(images)

        def classify() -> None:
            for _ in range(200):
                session.infer(images)

        threads = [threading.Thread(target=classify) for _ in range(3)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            seen.append(session.statistics())
        for thread in threads:
            thread.join()
        seen.append(session.statistics())
    assert seen[-1].calls == 601
    for found in seen:
        assert found.images == 4 * found.calls
        by_exit = [exit_.images for exit_ in found.exits]
        assert by_exit == [
            2 * found.calls,
            found.calls,
            found.calls,
        ]
