"""Tests that a risk is below a target, from images drawn independently of it.

A risk is the mean loss over all images of a source. The null hypothesis is that it is above the
target. A p-value is an upper bound of the probability to see so few losses under it.

- Losses of 0 and 1: the binomial tail (:func:`binomial_p`). It is the Hoeffding-Bentkus p-value of
  learn-then-test (Angelopoulos et al., Learn then Test, arXiv 2110.01052),
  ``min(exp(-n h1(R, t)), e P(Bin(n, t) <= ceil(n R)))``, for such losses. Its factor e is needed
  only for other bounded losses. Without it, the second term is never above the first, which is
  Chernoff's bound of the same tail. No test of such losses is more powerful (Neyman and Pearson).
- Losses of -1, 0 and 1: the capital of a gambler who bets against the hypothesis
  (:func:`betting_p`; Waudby-Smith and Ramdas, Estimating means of bounded random variables by
  betting, JRSS B 2024, Section 4). ``K = product of (1 + stake (target - loss))`` has a mean of at
  most 1 if the risk is above the target, so that it exceeds 1 / p with a probability of at most p
  (Markov). The stake must be chosen beforehand, on other images: :func:`best_stake`.

The one-sided loss, max(0, loss), has a risk that is at least as large, so that :func:`binomial_p`
of the losses of 1 alone is also valid for losses of -1, 0 and 1. It is tighter if hardly any losses
are -1; betting is tighter if many are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STAKES = 200
"""Number of stakes to try; the result hardly depends on it."""
MANY = 2**20
HALVINGS = 40


@dataclass(frozen=True, slots=True)
class LossCounts:
    """The numbers of images by their loss.

    Attributes:
        images: all images.
        lost: images with a loss of 1.
        gained: images with a loss of -1.
    """

    images: int
    lost: int
    gained: int = 0

    @classmethod
    def of(cls, losses: NDArray[np.int8]) -> LossCounts:
        """Count losses of -1, 0 and 1, (N,)."""
        return cls(
            len(losses), int(np.count_nonzero(losses > 0)), int(np.count_nonzero(losses < 0))
        )

    @property
    def risk(self) -> float:
        """The mean loss."""
        return (self.lost - self.gained) / self.images


def binomial_p(counts: LossCounts, target: float) -> float:
    """Return P(Bin(n, target) <= lost); gains count as a loss of 0."""
    lost = np.arange(1, counts.lost + 1)
    # the probability of k losses over that of k - 1
    ratios = (counts.images - lost + 1) / lost * (target / (1 - target))
    logs = np.append(0.0, np.cumsum(np.log(ratios))) + counts.images * math.log1p(-target)
    return min(1.0, float(np.exp(logs).sum()))


def betting_p(counts: LossCounts, target: float, stake: float) -> float:
    """Return the p-value of betting ``stake`` on every image, 0 to 1 / (1 - target)."""
    return min(1.0, math.exp(-_log_capital(counts, target, np.array([stake]))[0]))


def best_stake(counts: LossCounts, target: float) -> float:
    """Return the stake with the highest capital after one additional loss.

    Without that loss, a stake that the first loss ruins would look best if none was seen.
    """
    stakes = np.linspace(0, 1 / (1 - target), STAKES, endpoint=False)
    seen = LossCounts(counts.images + 1, counts.lost + 1, counts.gained)
    return float(stakes[_log_capital(seen, target, stakes).argmax()])


def p_value(counts: LossCounts, target: float, stake: float | None) -> float:
    """Return :func:`betting_p`, or :func:`binomial_p` if there is no stake."""
    if stake is None:
        return binomial_p(counts, target)
    return betting_p(counts, target, stake)


def tighter_stake(counts: LossCounts, target: float) -> float | None:
    """Return the stake to bet on other images; None if the binomial tail is tighter on these."""
    stake = best_stake(counts, target)
    tighter = betting_p(counts, target, stake) < binomial_p(counts, target)
    return stake if tighter else None


def images_needed(share: float, target: float, level: float) -> int | None:
    """Return the number of images needed to show ``target`` if a share of them is lost.

    Args:
        share: share of images with a loss of 1, 0 or more.
        target: above 0 and below 1.
        level: the largest p-value that shows it.

    Returns:
        A number from which on there are nearly always enough; None if :data:`MANY` are too few.
    """

    def enough(images: int) -> bool:
        return binomial_p(LossCounts(images, math.ceil(share * images)), target) <= level

    many = 1
    while not enough(many):
        many *= 2
        if many > MANY:
            return None
    few = many // 2
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def reachable_target(counts: LossCounts, level: float) -> float:
    """Return the lowest target shown at ``level``, the upper end of Clopper and Pearson."""
    low, high = counts.lost / counts.images, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if binomial_p(counts, middle) <= level else (middle, high)
    return high


def _log_capital(
    counts: LossCounts, target: float, stakes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the logarithm of the capital at each stake."""
    even = counts.images - counts.lost - counts.gained
    capital: NDArray[np.float64] = (
        counts.lost * np.log1p(stakes * (target - 1))
        + even * np.log1p(stakes * target)
        + counts.gained * np.log1p(stakes * (target + 1))
    )
    return capital
