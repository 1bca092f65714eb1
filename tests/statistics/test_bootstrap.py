"""Resampling: what intervals are made of, and what they cover."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import (
    draw_rounds,
    mean_intervals,
    ratios_of_means,
    resample_rounds,
)


def test_blocks_are_runs_of_neighbours_on_a_circle() -> None:
    indices = draw_rounds(95, 7, np.random.default_rng(0))
    assert indices.shape == (7, 95)
    for row in indices:
        for block in np.array_split(row, range(10, 95, 10)):
            assert ((np.diff(block) % 95) == 1).all()


def test_a_series_that_wanders_gets_a_wider_interval_than_its_shuffle_the_textbooks() -> None:
    rng = np.random.default_rng(0)
    wandering = (2 + np.sin(np.linspace(0, 6, 300)) + rng.normal(0, 0.1, 300))[:, None]
    independent = rng.permutation(wandering)

    def width(series: np.ndarray) -> float:  # type: ignore[type-arg]
        (means,) = resample_rounds([series], lambda it: it.mean(axis=1), np.random.default_rng(1))
        found = Interval.of(float(series.mean()), means)
        return found.high - found.low

    assert width(wandering) > 2 * width(independent)
    textbook = 2 * 1.96 * float(independent.std()) / np.sqrt(300)
    assert width(independent) == pytest.approx(textbook, rel=0.35)  # of 10 blocks


def test_intervals_of_ratios_cover_what_repeats_and_not_what_does_not() -> None:
    rng = np.random.default_rng(0)
    hard = rng.exponential(size=(1, 300))  # the images differ, both take the same on each
    (same,) = ratios_of_means([1.5 * hard], hard)
    assert (same.value, same.low, same.high) == pytest.approx((1.5, 1.5, 1.5))
    missed = 0
    for _ in range(200):
        ours, theirs = rng.exponential(size=(2, 2, 150))
        (found,) = ratios_of_means([ours], theirs)
        assert found.low < found.value < found.high
        missed += not found.low <= 1 <= found.high
    assert missed / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_passes_are_drawn_too() -> None:
    """One candidate was held up in one of two passes: how much it takes depends on which count."""
    alike = np.ones((2, 200))
    held_up = alike * np.array([[1.0], [3.0]])
    (steady,) = ratios_of_means([alike], alike)
    (wide,) = ratios_of_means([held_up], alike)
    assert (steady.low, steady.high) == pytest.approx((1, 1))
    assert (wide.value, wide.low, wide.high) == pytest.approx((2, 1, 3))  # either pass twice


def test_means_of_the_same_samples_are_resampled_together() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, 400).astype(float)
    mean, same, difference = mean_intervals(np.stack([values, values, values - values]))
    assert mean == same
    assert mean.value == pytest.approx(values.mean())
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)
    assert difference == Interval(0, 0, 0)


def test_an_interval_is_beyond_a_bound_where_all_of_it_is() -> None:
    found = Interval(0.9, 0.8, 0.97)
    assert found.is_below(0.98)
    assert not found.is_below(0.95)
    assert not found.is_above(0.85)
    assert found.is_above(0.75)
    assert f"{found:.2f}" == "0.90 [0.80, 0.97]"
