"""Streams and offline: what ran, in which queries and batches, and what is made of the times."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeexit.bench import BenchImages, BenchOptions, run_bench
from edgeexit.bench.results.mixture import BASELINE, EARLY_EXIT, VERSUS
from edgeexit.bench.results.scenarios import SCENARIOS
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.bench.timing.passes import BLOCK, take_passes
from edgeexit.bench.timing.scenarios import batch_sizes, measure_multi_stream, measure_offline
from edgeexit.errors import InputError
from edgeexit.statistics.percentiles import percentiles

QUICK = BenchOptions(threads=1, rounds=2, duration_s=60, warm_up_s=0)
LeavingAt = Callable[[list[int], list[int]], NDArray[np.float32]]


def two_candidates(fakes: SimpleNamespace, **options: int) -> list[Candidate]:
    return [
        Candidate(role, name, fakes.Session(name, **options), {})
        for role, name in ((BASELINE, "plain backbone"), (EARLY_EXIT, "early exit"))
    ]


# passes


def test_every_image_runs_once_a_pass_for_everyone_in_an_order_by_seed(
    fakes: SimpleNamespace,
) -> None:
    images = fakes.images(70)

    def order(seed: int) -> list[int]:
        both = two_candidates(fakes)
        options = dataclasses.replace(QUICK, seed=seed)
        found = take_passes(both, images, 1, options, lambda *_: None, "mixture")
        for runs in found:
            assert runs.times_ms.shape == (140,)
            np.testing.assert_array_equal(runs.labels, np.arange(70))
            np.testing.assert_array_equal(runs.left_at, np.arange(70) % 2)
            blocks = -(-70 // BLOCK)  # each begins with one settling call
            seen = [image for (image,) in runs.candidate.session.seen]
            assert len(seen) == 2 * (70 + blocks)
        by_turn: list[int] = np.concatenate(found[0].queries).tolist()
        assert np.array_equal(by_turn, np.concatenate(found[1].queries))
        assert sorted(by_turn[:70]) == sorted(by_turn[70:]) == list(range(70))
        assert by_turn[:70] != by_turn[70:]
        return by_turn

    assert order(1) == order(1) != order(2)


def test_candidates_take_turns_in_blocks(fakes: SimpleNamespace) -> None:
    both = two_candidates(fakes)
    order: list[str] = []
    for candidate in both:
        candidate.session.on_infer = lambda name=candidate.name: order.append(name)
    take_passes(both, fakes.images(4 * BLOCK), 1, QUICK, lambda *_: None, "mixture")
    blocks = [order[start : start + BLOCK + 1] for start in range(0, len(order), BLOCK + 1)]
    assert all(len(set(block)) == 1 for block in blocks)
    firsts = [block[0] for block in blocks]
    rounds = [tuple(firsts[start : start + 2]) for start in range(0, len(firsts), 2)]
    assert all(set(both_names) == {"early exit", "plain backbone"} for both_names in rounds)
    assert len(rounds) == 2 * 4
    assert len(set(rounds)) == 2  # not always the same one first


def test_times_by_image_are_put_back_in_order(fakes: SimpleNamespace) -> None:
    candidates = two_candidates(fakes)[:1]
    (runs,) = take_passes(candidates, fakes.images(5), 1, QUICK, lambda *_: None, "mixture")
    by_image = runs.by_image()
    assert by_image.shape == (2, 5)
    for number, ((image,), milliseconds) in enumerate(
        zip(runs.queries, runs.times_ms, strict=True)
    ):
        assert by_image[number // 5, image] == milliseconds


# multi stream


def test_multi_stream_asks_eight_at_a_time(fakes: SimpleNamespace) -> None:
    both = two_candidates(fakes)
    images = BenchImages("test", fakes.images(20), None)
    stream = measure_multi_stream(both, images, QUICK, lambda *_: None)
    assert (stream.samples_per_query, stream.leading_percent) == (8, 99)
    for candidate, result in zip(both, stream.results, strict=True):
        assert {len(query) for query in candidate.session.seen} == {8}
        assert (result.name, len(result.times_ms)) == (candidate.name, 4)  # 2 a pass
        assert result.mean_ms == pytest.approx(np.mean(result.times_ms))
        assert result.percentiles == percentiles(np.array(result.times_ms), independent=20)
        assert result.ratio is None  # four queries have no p99


def test_multi_stream_counts_images_and_not_queries_of_the_same(fakes: SimpleNamespace) -> None:
    images = BenchImages("test", fakes.images(16), None)
    options = dataclasses.replace(QUICK, rounds=50)
    stream = measure_multi_stream(two_candidates(fakes), images, options, lambda *_: None)
    *_, p99 = stream.results[0].percentiles
    assert (p99.queries, p99.count, p99.value_ms) == (100, 16, None)


# offline


def test_batch_sizes_are_powers_of_two_and_the_largest() -> None:
    assert batch_sizes(32, 500) == (1, 2, 4, 8, 16, 32)
    assert batch_sizes(12, 500) == (1, 2, 4, 8, 12)
    assert batch_sizes(1, 500) == (1,)
    assert batch_sizes(32, 5) == (1, 2, 4)


def test_offline_rates_are_images_over_their_time(
    fakes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    monkeypatch.setattr(
        "edgeexit_runtime.timing.calls.time.perf_counter_ns", lambda: seconds[0] * 1e9
    )
    both = two_candidates(fakes, max_batch=4)
    for candidate, base in zip(both, (0.020, 0.010), strict=True):

        def work(session=candidate.session, base=base) -> None:  # type: ignore[no-untyped-def]
            seconds[0] += base + 0.005 * len(session.seen[-1])

        candidate.session.on_infer = work
    images = BenchImages("test", fakes.images(23), None)
    theirs, ours = measure_offline(both, images, QUICK, lambda *_: None)
    for result, base in ((ours, 0.010), (theirs, 0.020)):
        assert [rate.batch_size for rate in result.rates] == [1, 2, 4]
        for rate in result.rates:
            size = rate.batch_size
            assert rate.samples == 2 * 20  # the rest fill no batch of four
            assert rate.samples_per_s == pytest.approx(size / (base + 0.005 * size))
        assert result.best_batch_size == 4
        assert result.best_samples_per_s == result.rates[-1].samples_per_s
    assert ours.ratio == pytest.approx((4 / 0.03) / (4 / 0.04))
    assert theirs.ratio == 1


def test_offline_runs_all_sizes_on_the_same_images(fakes: SimpleNamespace) -> None:
    both = two_candidates(fakes, max_batch=4)
    images = BenchImages("test", fakes.images(8), None)
    measure_offline(both, images, dataclasses.replace(QUICK, rounds=1), lambda *_: None)
    for candidate in both:
        by_size: dict[int, list[int]] = {}
        for batch in candidate.session.seen:  # type: ignore[attr-defined]
            by_size.setdefault(len(batch), []).extend(batch)
        # a settling call each, and every image once
        assert {size: len(seen) for size, seen in by_size.items()} == {1: 9, 2: 10, 4: 12}
        assert all(set(seen) == set(range(8)) for seen in by_size.values())


def test_a_model_of_batch_one_has_one_rate(fakes: SimpleNamespace) -> None:
    both = [*two_candidates(fakes), Candidate(VERSUS, "x", fakes.Session("x", max_batch=1), {})]
    images = BenchImages("test", fakes.images(8), None)
    *_, versus = measure_offline(both, images, QUICK, lambda *_: None)
    assert [rate.batch_size for rate in versus.rates] == [1]


# a bundle


def test_all_scenarios_of_a_bundle(bundle: Path, leaving_at: LeavingAt) -> None:
    images = BenchImages("test", leaving_at([0, 1] * 6, [3] * 12), None)
    options = dataclasses.replace(QUICK, scenarios=SCENARIOS, qps=100.0, duration_s=0.2)
    report = run_bench(bundle, images, options)
    found = report.scenarios
    assert found is not None
    assert report.mixture is not None
    assert (found.source, found.samples) == ("test", 12)
    assert found.single_stream is not None
    first, second = found.single_stream.results
    assert (first.name, second.name) == ("plain backbone", "early exit")
    assert first.times_ms == second.times_ms == ()  # the mixture's
    assert second.mean_ms == pytest.approx(report.mixture.early_exit.latency.mean_ms)
    assert first.percentiles == report.mixture.baseline.percentiles
    p90 = [result.percentiles[1].value_ms for result in (first, second)]
    assert p90[0] is not None
    assert p90[1] is not None
    assert second.ratio == p90[1] / p90[0]
    assert first.ratio == 1
    assert found.multi_stream is not None
    assert [it.name for it in found.multi_stream.results] == ["plain backbone", "early exit"]
    assert found.offline is not None
    assert [rate.batch_size for rate in found.offline[0].rates] == [1, 2, 4]
    assert found.server is not None
    assert [it.completed for it in found.server.results] == [found.server.queries] * 2


@pytest.mark.parametrize(
    ("count", "changes", "expected"),
    [
        (
            0,
            {"scenarios": ("offline",)},
            "scenarios: expected real images, got none: latency depends on the exit where an "
            "image leaves; give --dataset, --images or --npz",
        ),
        (0, {"qps": 5.0}, "scenarios: expected real images, got none"),
        (
            7,
            {"scenarios": ("multi-stream",)},
            "multi-stream: expected at least 8 images, for one query, got 7; give more",
        ),
        (
            7,
            {"qps": 1e-6, "duration_s": 1.0},
            "qps: expected queries to arrive, got none in 1 s at 1e-06 per second; give a longer "
            "--duration",
        ),
    ],
)
def test_scenarios_that_cannot_be_are_refused_before_anything_is_measured(
    bundle: Path,
    leaving_at: LeavingAt,
    count: int,
    changes: dict[str, float],
    expected: str,
) -> None:
    images = BenchImages("test", leaving_at([0] * count, [0] * count), None) if count else None
    steps: list[str] = []
    with pytest.raises(InputError, match=re.escape(expected)):
        run_bench(
            bundle,
            images,
            dataclasses.replace(QUICK, **changes),  # type: ignore[arg-type]
            lambda step, done: steps.append(step),
        )
    assert steps == []
