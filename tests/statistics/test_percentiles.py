"""Percentiles: counts that are needed, ranks of the interval's ends, and what they cover."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeexit.statistics import CONFIDENCE_LEVEL
from edgeexit.statistics.percentiles import (
    count_for_interval,
    count_for_point,
    interval_ranks,
    percentile,
    percentiles,
)


@pytest.mark.parametrize(("percent", "needed"), [(50, 2), (90, 10), (95, 20), (99, 100), (1, 100)])
def test_a_point_needs_one_sample_expected_beyond_it(percent: float, needed: int) -> None:
    assert count_for_point(percent) == needed
    assert percentile(np.arange(float(needed)), percent, needed).value_ms is not None
    few = percentile(np.arange(float(needed - 1)), percent, needed)
    assert (few.value_ms, few.low_ms, few.high_ms) == (None, None, None)
    assert few.count == needed - 1


def test_an_interval_needs_a_sample_that_is_hardly_ever_below() -> None:
    # of 6 samples all lie on one side of the median with a chance of 2 / 64; with 5 of 2 / 32
    assert (interval_ranks(6, 50), interval_ranks(5, 50)) == ((1, 6), (None, None))
    assert count_for_interval(99) == 368  # 0.99**368 < 0.025 < 0.99**367
    for percent in (50, 90, 99):
        needed = count_for_interval(percent)
        assert interval_ranks(needed, percent)[1] is not None
        assert interval_ranks(needed - 1, percent)[1] is None
        assert count_for_interval(100 - percent) == needed
        assert interval_ranks(needed, 100 - percent)[0] is not None
        assert interval_ranks(needed - 1, 100 - percent)[0] is None


@pytest.mark.parametrize(("count", "percent"), [(9, 50), (100, 90), (400, 99), (1000, 99)])
def test_ranks_are_the_narrowest_that_miss_rarely_enough(count: int, percent: float) -> None:
    p = percent / 100
    chances = [math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(count + 1)]
    low, high = interval_ranks(count, percent)
    outside = (1 - CONFIDENCE_LEVEL) / 2
    assert low is not None
    assert high is not None
    assert sum(chances[:low]) <= outside < sum(chances[: low + 1])
    assert sum(chances[high:]) <= outside < sum(chances[high - 1 :])


@pytest.mark.parametrize(("count", "percent"), [(30, 50), (100, 90), (500, 99)])
def test_intervals_cover_the_percentile_as_often_as_they_say(count: int, percent: float) -> None:
    rng = np.random.default_rng(0)
    true_ms = -math.log(1 - percent / 100)  # of an exponential distribution
    runs = 2000
    covered = missed_low = missed_high = 0
    for _ in range(runs):
        found = percentile(rng.exponential(size=count), percent, count)
        assert found.low_ms is not None
        assert found.high_ms is not None
        covered += found.low_ms <= true_ms <= found.high_ms
        missed_low += true_ms < found.low_ms
        missed_high += true_ms > found.high_ms
    noise = 3 * math.sqrt(0.025 * 0.975 / runs)
    assert covered / runs >= CONFIDENCE_LEVEL - 2 * noise
    assert covered < runs  # it is not wider than it has to be
    assert max(missed_low, missed_high) / runs <= 0.025 + noise


def test_repetitions_of_the_same_images_are_no_evidence() -> None:
    once = np.random.default_rng(0).exponential(size=(1, 400))
    found = percentiles(once, independent=400)
    repeated = percentiles(np.repeat(once, 7, axis=0), independent=400)
    for one, many in zip(found, repeated, strict=True):
        assert (many.queries, many.count, one.count) == (2800, 400, 400)
        assert (many.low_ms, many.high_ms) == (one.low_ms, one.high_ms)
    few = percentile(np.repeat(once[:, :50], 20, axis=0), 99, independent=50)
    assert (few.value_ms, few.queries, few.count) == (None, 1000, 50)


def test_value_is_numpys_and_the_ends_are_samples() -> None:
    times_ms = np.random.default_rng(1).exponential(size=(4, 120))
    found = percentile(times_ms, 90, 480)
    assert found.value_ms == np.percentile(times_ms, 90)
    ordered = np.sort(times_ms, axis=None)
    ends = [ordered[rank - 1] for rank in interval_ranks(480, 90) if rank is not None]
    assert [found.low_ms, found.high_ms] == ends
