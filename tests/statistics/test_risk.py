"""P-values of risks: closed forms against tables, SciPy and sums over all outcomes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from edgeexit.statistics.risk import (
    LossCounts,
    best_stake,
    betting_p,
    binomial_p,
    images_needed,
    reachable_target,
    tighter_stake,
)


@pytest.mark.parametrize(("images", "target"), [(1, 0.5), (59, 0.05), (400, 0.02), (3000, 0.3)])
def test_the_binomial_tail_is_scipys(images: int, target: float) -> None:
    for lost in {0, 1, images // 50, images // 3, images}:
        expected = stats.binom.cdf(lost, images, target)
        assert binomial_p(LossCounts(images, lost), target) == pytest.approx(expected, rel=1e-9)


def test_gains_count_as_no_loss_in_the_binomial_tail() -> None:
    assert binomial_p(LossCounts(200, 3, 7), 0.05) == binomial_p(LossCounts(200, 3), 0.05)


@pytest.mark.parametrize(
    ("target", "level", "lost", "images"),
    [
        # tables of sample sizes for a reliability of 1 - target, such as Juran's Quality Handbook
        (0.10, 0.05, 0, 29),
        (0.05, 0.05, 0, 59),
        (0.01, 0.05, 0, 299),
        (0.05, 0.10, 0, 45),
        (0.01, 0.10, 0, 230),
        (0.05, 0.05, 1, 93),
        (0.05, 0.05, 2, 124),
        (0.10, 0.05, 1, 46),
    ],
)
def test_published_sample_sizes(target: float, level: float, lost: int, images: int) -> None:
    assert binomial_p(LossCounts(images, lost), target) <= level
    assert binomial_p(LossCounts(images - 1, lost), target) > level
    if lost == 0:
        assert images_needed(0.0, target, level) == images


def test_images_that_a_share_of_losses_needs() -> None:
    needed = images_needed(0.01, 0.02, 0.05)
    assert needed is not None
    assert stats.binom.cdf(math.ceil(0.01 * needed), needed, 0.02) <= 0.05
    fewer = needed // 2
    assert stats.binom.cdf(math.ceil(0.01 * fewer), fewer, 0.02) > 0.05
    assert images_needed(0.02, 0.02, 0.05) is None  # no number shows what is not so
    assert images_needed(0.03, 0.02, 0.05) is None


@pytest.mark.parametrize(("images", "lost"), [(10, 0), (180, 0), (180, 7), (650, 13)])
def test_the_lowest_target_is_clopper_and_pearsons(images: int, lost: int) -> None:
    expected = stats.beta.ppf(0.95, lost + 1, images - lost)
    target = reachable_target(LossCounts(images, lost), 0.05)
    assert target == pytest.approx(expected, rel=1e-6)
    assert binomial_p(LossCounts(images, lost), target) <= 0.05


def outcomes(images: int) -> list[LossCounts]:
    return [
        LossCounts(images, lost, gained)
        for lost, gained in itertools.product(range(images + 1), repeat=2)
        if lost + gained <= images
    ]


def chance(counts: LossCounts, lose: float, gain: float) -> float:
    even = counts.images - counts.lost - counts.gained
    numbers = [counts.lost, counts.gained, even]
    return float(stats.multinomial.pmf(numbers, counts.images, [lose, gain, 1 - lose - gain]))


@pytest.mark.parametrize("gain", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("stake", [0.05, 0.4, 1.0])
def test_nobody_wins_by_betting_against_what_is_so(gain: float, stake: float) -> None:
    """The capital's mean over all outcomes is 1 where the risk is the target; so p-values hold."""
    target, images = 0.1, 25
    every = outcomes(images)
    chances = [chance(counts, target + gain, gain) for counts in every]
    assert sum(chances) == pytest.approx(1)
    capital = [
        (1 + stake * (target - 1)) ** counts.lost
        * (1 + stake * target) ** (images - counts.lost - counts.gained)
        * (1 + stake * (target + 1)) ** counts.gained
        for counts in every
    ]
    assert np.dot(chances, capital) == pytest.approx(1)
    p_values = [betting_p(counts, target, stake) for counts in every]
    assert p_values == pytest.approx([min(1.0, 1 / won) for won in capital])
    for level in (0.01, 0.05, 0.2, 0.5):
        shown = sum(one for one, p_value in zip(chances, p_values, strict=True) if p_value <= level)
        assert shown <= level


def test_a_stake_is_what_would_have_won_the_most() -> None:
    counts, target = LossCounts(1000, 10, 8), 0.02
    stake = best_stake(counts, target)
    assert 0 < stake < 1 / (1 - target)
    best = betting_p(counts, target, stake)
    for other in (stake / 3, min(3 * stake, 1.0)):
        assert betting_p(counts, target, other) > best
    assert best_stake(LossCounts(100, 20), target) == 0  # nothing is won against the truth
    ruined = betting_p(LossCounts(300, 1), 0.02, best_stake(LossCounts(300, 0), 0.02))
    assert ruined < 1, "a stake of images without a loss survives one"


def test_betting_is_tighter_where_early_exits_gain() -> None:
    assert tighter_stake(LossCounts(650, 3), 0.02) is None
    stake = tighter_stake(LossCounts(650, 12, 12), 0.02)
    assert stake is not None
    counts = LossCounts(650, 12, 12)
    assert betting_p(counts, 0.02, stake) < 0.05 < binomial_p(counts, 0.02)


def test_counts_of_losses() -> None:
    counts = LossCounts.of(np.array([1, 0, -1, 0, 1, 1, 0, 0, 0, 0], np.int8))
    assert counts == LossCounts(10, 3, 1)
    assert counts.risk == pytest.approx(0.2)
