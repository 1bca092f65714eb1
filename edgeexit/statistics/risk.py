"""How surely a risk is below a target, from images that were drawn independently of it.

A risk is the mean loss over all images of a source. A p-value here is for the hypothesis that it is
above the target: the chance, at most, that so few losses are seen where it is.

- Losses of 0 and 1: the binomial tail (:func:`binomial_p`). It is the Hoeffding-Bentkus p-value of
  learn-then-test (Angelopoulos et al., Learn then Test, arXiv 2110.01052),
  ``min(exp(-n h1(R, t)), e P(Bin(n, t) <= ceil(n R)))``, for such losses: the factor e is the price
  of other bounded losses, and without it the second term is never above the first, which is
  Chernoff's bound of the same tail. No test of such losses is more powerful (Neyman and Pearson).
- Losses of -1, 0 and 1: the capital of one who bets against the hypothesis (:func:`betting_p`;
  Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 2024,
  Section 4). ``K = product of (1 + stake (target - loss))`` has a mean of at most 1 where the risk
  is above the target, so that it is above 1 / p with a chance of at most p (Markov). The stake has
  to be chosen before the images are seen, on other ones: :func:`best_stake`.

The one-sided loss, max(0, loss), has a risk that is at least as large, so that :func:`binomial_p`
of the ones alone is valid for losses of -1, 0 and 1 too. It is the tighter one where hardly any are
-1, betting where many are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STAKES = 200
"""That are tried; the result hardly depends on their number."""
MANY = 2**20
HALVINGS = 40


@dataclass(frozen=True, slots=True)
class LossCounts:
    """How many of a number of images lose and gain.

    Attributes:
        images: all of them.
        lost: those with a loss of 1.
        gained: those with a loss of -1.
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
    """Return P(Bin(n, target) <= lost): gains count as no loss."""
    lost = np.arange(1, counts.lost + 1)
    # the chance of k losses is so many times that of k - 1
    ratios = (counts.images - lost + 1) / lost * (target / (1 - target))
    logs = np.append(0.0, np.cumsum(np.log(ratios))) + counts.images * math.log1p(-target)
    return min(1.0, float(np.exp(logs).sum()))


def betting_p(counts: LossCounts, target: float, stake: float) -> float:
    """Return the p-value of betting ``stake`` on every image, 0 to 1 / (1 - target)."""
    return min(1.0, math.exp(-_log_capital(counts, target, np.array([stake]))[0]))


def best_stake(counts: LossCounts, target: float) -> float:
    """Return the stake that would have won the most, had there been one more loss.

    Without that, a stake that the first loss ruins would look best where none was seen.
    """
    stakes = np.linspace(0, 1 / (1 - target), STAKES, endpoint=False)
    seen = LossCounts(counts.images + 1, counts.lost + 1, counts.gained)
    return float(stakes[_log_capital(seen, target, stakes).argmax()])


def p_value(counts: LossCounts, target: float, stake: float | None) -> float:
    """Return :func:`betting_p`, or without a stake :func:`binomial_p`."""
    if stake is None:
        return binomial_p(counts, target)
    return betting_p(counts, target, stake)


def tighter_stake(counts: LossCounts, target: float) -> float | None:
    """Return the stake to bet on other images; None where the binomial tail is tighter on these."""
    stake = best_stake(counts, target)
    tighter = betting_p(counts, target, stake) < binomial_p(counts, target)
    return stake if tighter else None


def images_needed(share: float, target: float, level: float) -> int | None:
    """Return how many images show ``target`` where a share of them is lost.

    Args:
        share: of the images, 0 or more.
        target: above 0 and below 1.
        level: the largest p-value that shows it.

    Returns:
        A number from which on it is nearly always enough; None where :data:`MANY` are too few.
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
    """Return the lowest target that losses show at ``level``, the upper end of Clopper-Pearson."""
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
