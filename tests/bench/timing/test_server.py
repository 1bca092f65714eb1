"""The server scenario: Poisson arrivals, and queues worked out by hand on a clock of the test's."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeexit.bench import BenchImages, BenchOptions
from edgeexit.bench.results.mixture import BASELINE, EARLY_EXIT
from edgeexit.bench.results.scenarios import Server
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.bench.timing.server import Clock, measure_server, poisson_arrivals
from edgeexit.statistics import Interval

Serve = Callable[..., tuple[Server, list[Any]]]


@pytest.fixture
def serve(fakes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Let queries arrive at candidates that take so many seconds by the query's number."""
    monkeypatch.setattr(
        "edgeexit.bench.timing.server.settle", lambda call: None
    )  # no calls but the queries'

    def run(
        arrivals: list[float],
        service_s: list[Callable[[int], float]],
        duration_s: float = 10.0,
        qps: float = 1.0,
        images: int = 4,
        seed: int = 0,
    ) -> tuple[Server, list[Any]]:
        clock = fakes.Clock()
        sessions = [fakes.Session(str(number)) for number in range(len(service_s))]

        def work(session: Any, of: Callable[[int], float]) -> None:
            clock.seconds += of(len(session.seen) - 1)

        for session, seconds in zip(sessions, service_s, strict=True):
            session.on_infer = partial(work, session, seconds)
        found = measure_server(
            [
                Candidate(EARLY_EXIT if number else BASELINE, session.name, session, {})
                for number, session in enumerate(sessions)
            ],
            BenchImages("test", fakes.images(images), None),
            BenchOptions(duration_s=duration_s, qps=qps, seed=seed),
            lambda step, done: None,
            clock,
            np.array(arrivals),
        )
        return found, sessions

    return run


def test_arrivals_are_a_poisson_process_by_seed() -> None:
    arrivals = poisson_arrivals(200, 100, seed=3)
    np.testing.assert_array_equal(arrivals, poisson_arrivals(200, 100, seed=3))
    assert arrivals.tolist() != poisson_arrivals(200, 100, seed=4).tolist()
    gaps = np.diff(arrivals)
    count = len(arrivals)
    assert 0 <= arrivals[0] <= arrivals[-1] < 100
    assert abs(count - 20_000) < 4 * math.sqrt(20_000)  # mean and variance are the same
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)  # exponential
    late = np.exp(-1)
    assert (gaps > gaps.mean()).mean() == pytest.approx(late, abs=0.02)
    counts = [len(poisson_arrivals(5, 2, seed)) for seed in range(2000)]
    assert np.mean(counts) == pytest.approx(10, abs=0.3)
    assert np.var(counts) == pytest.approx(10, rel=0.15)


def test_a_queue_by_hand(serve: Serve) -> None:
    # due at 1, 1.5, 1.75 and 6; two seconds each: done at 3, 5, 7 and 9
    found, (session,) = serve([1, 1.5, 1.75, 6], [lambda number: 2.0])
    (result,) = found.results
    assert found.queries == result.completed == 4
    assert result.times_ms == pytest.approx((2000, 3500, 5250, 3000))
    assert result.mean_ms == pytest.approx(3437.5)
    assert result.service_mean_ms == pytest.approx(2000)
    assert result.utilization == pytest.approx(8 / 10)
    assert result.achieved_qps == pytest.approx(4 / 10)
    assert result.backlog == 2  # the third is being answered at 6, the fourth has just come
    assert len(session.seen) == 4


def test_candidates_have_queues_of_their_own_though_they_take_turns(serve: Serve) -> None:
    arrivals = [0.5, 0.6, 0.7, 2.0, 2.1, 4.0]
    quick, slow = (lambda number: 0.1), (lambda number: 0.4)
    found, sessions = serve(arrivals, [quick, slow])
    alone = [serve(arrivals, [one])[0].results[0] for one in (quick, slow)]
    for together, apart in zip(found.results, alone, strict=True):
        assert together.times_ms == pytest.approx(apart.times_ms)
        assert together.utilization == pytest.approx(apart.utilization)
    assert found.results[0].times_ms == pytest.approx((100, 100, 100, 100, 100, 100))
    assert found.results[1].times_ms == pytest.approx((400, 700, 1000, 400, 700, 400))
    assert sessions[0].seen == sessions[1].seen  # the same images in the same order
    assert sorted(sessions[0].seen[:4]) == [(0,), (1,), (2,), (3,)]
    assert sessions[0].seen[4:] == sessions[0].seen[:2]


def test_a_queue_that_only_grows_is_given_up_and_shows_no_percentiles(serve: Serve) -> None:
    arrivals = np.linspace(0, 9.99, 1000).tolist()
    found, _ = serve(arrivals, [lambda number: 0.05], qps=100, images=200)
    (result,) = found.results
    assert result.load == pytest.approx(5)
    assert not result.stable
    assert 400 <= result.completed <= 401  # in twice the ten seconds
    assert result.backlog == pytest.approx(800, abs=2)
    assert result.achieved_qps == pytest.approx(20, rel=0.01)
    assert result.utilization == pytest.approx(1, rel=0.01)
    assert [it.value_ms for it in result.percentiles] == [None] * 3


def test_a_stable_queue_has_intervals_by_stretches_and_a_ratio(serve: Serve) -> None:
    # whole parts of a power of 2, which the test's clock adds without rounding
    arrivals = np.round(poisson_arrivals(50, 20, seed=0) * 1024) / 1024
    quick, slow = (lambda number: 1 / 256), (lambda number: 1 / 128)
    found, _ = serve(arrivals.tolist(), [slow, quick], 20, 50, images=2000)
    baseline, early_exit = found.results
    assert baseline.ratio == Interval(1.0, 1.0, 1.0)
    ratio = early_exit.ratio
    assert ratio is not None
    assert ratio.value == pytest.approx(early_exit.mean_ms / baseline.mean_ms)
    # less work, and less waiting for it: by M/D/1 4.38 ms over 10.32 ms
    assert ratio.low < 4.38 / 10.32 < ratio.high
    assert baseline.load == pytest.approx(50 / 128, rel=0.1)
    assert 0 < ratio.high - ratio.low < 0.2
    for it in early_exit.percentiles:
        assert it.value_ms is not None
        assert it.low_ms is not None
        assert it.high_ms is not None
        assert it.low_ms <= it.value_ms <= it.high_ms


def test_a_queue_that_grows_has_no_ratio_and_gives_none(serve: Serve) -> None:
    arrivals = (np.arange(500) / 64).tolist()
    slow, quick = (lambda number: 1 / 16), (lambda number: 1 / 1024)
    found, _ = serve(arrivals, [slow, quick], qps=50, images=500)
    assert [it.stable for it in found.results] == [False, True]
    assert [it.ratio for it in found.results] == [None, None]
    assert found.results[0].percentiles[0].low_ms is None
    assert found.results[1].percentiles[0].low_ms == pytest.approx(1000 / 1024)


def test_the_same_images_again_are_no_new_evidence(serve: Serve) -> None:
    arrivals = np.linspace(0, 9.99, 500).tolist()
    found, _ = serve(arrivals, [lambda number: 0.001], qps=50, images=20)
    p50, p90, p99 = found.results[0].percentiles
    assert (p99.queries, p99.count, p99.value_ms) == (500, 20, None)
    assert (p50.value_ms, p90.value_ms) == pytest.approx((1.0, 1.0))


def test_the_order_of_the_images_follows_the_seed(serve: Serve) -> None:
    arrivals = np.linspace(0, 9, 32).tolist()
    first, again, other = (
        serve(arrivals, [lambda number: 0.001], images=32, seed=seed)[1][0].seen
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert sorted(first) == sorted(other)


def test_images_are_not_copied(fakes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    session, images, shared = fakes.Session("x"), fakes.images(4), []
    infer = session.infer

    def watched(image: Any) -> Any:
        shared.append(np.shares_memory(image, images))
        return infer(image)

    monkeypatch.setattr(session, "infer", watched)
    measure_server(
        [Candidate(BASELINE, "x", session, {})],
        BenchImages("test", images, None),
        BenchOptions(duration_s=1, qps=1.0),
        lambda *_: None,
        arrivals=np.array([0.001, 0.002]),
    )
    assert len(shared) >= 2
    assert all(shared)


def test_the_real_clock_waits_and_never_returns_early() -> None:
    clock = Clock()
    moment = clock.now() + 0.005
    clock.wait_until(moment)
    assert clock.now() >= moment
    clock.wait_until(moment - 1)  # over already
