"""An anytime-valid test of whether images leave as they did when the bundle was measured.

Each exit has yes/no questions: does an image that reaches it leave there, and does one that leaves
have at least a given confidence? Each is a yes with probability p. Of the expected images, k of n
said yes, which gives an interval for p (:func:`intervals`); all intervals hold at once with
probability 1 - :data:`DOUBT` at least. Of the images seen, s of t say yes, and

    wealth = D(s, t) / the largest probability of s of t for any p of the interval

is at most the wealth of a gambler who bets on other probabilities than p, where D is the
probability of these answers averaged over Jeffreys' prior. In a fair game it ever reaches 1 / level
with probability level at most, however often one looks (Ville's inequality; Ramdas et al.,
Game-theoretic statistics and safe anytime-valid inference, Statistical Science 2023). Few expected
images therefore cost power, and never cause false alarms.

- The capital is divided equally among the questions. An image that was cut short by a deadline
  counts as continuing at that exit and answers no later question: deadlines do no harm.
- Images may change at any time, and a bet on all images since the beginning would notice that
  late: 1 / ((k + 1) (k + 2)) of the capital is bet on the images from the k-th block on. Old starts
  are thinned out, which loses the capital bet there.

Images must be drawn independently, which frames of one video are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.bundle.expected_entry import CONFIDENCE_EDGES, Expected, lowest_bin
from edgeexit_runtime.gate import NEVER

LEVEL = 0.01
DOUBT = 0.001
"""Upper bound on the probability that the expected images mislead; no p-value is below it."""
HALVINGS = 50
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Change:
    """The question whose answers differ most from what was expected.

    Attributes:
        exit: name of the exit.
        edge: None for the share of the images reaching the exit that leave there; a confidence
            for the share of those leaving there that have at least that confidence.
        share, expected: that share, seen and expected; None if there were no such images.
        images: number of images since the change, or more.
    """

    exit: str
    edge: float | None
    share: float | None
    expected: float | None
    images: int

    @property
    def words(self) -> str:
        """The change in a phrase."""
        seen, expected = (
            "none" if share is None else f"{share:.1%}" for share in (self.share, self.expected)
        )
        if self.edge is None:
            return f"{seen} of those that reach {self.exit} leave there, expected {expected}"
        sure = f"have a confidence of {self.edge:g} or more"
        return f"{seen} of those that leave at {self.exit} {sure}, expected {expected}"


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether images leave as they did when the bundle was measured.

    Attributes:
        images: number of images seen.
        expected: the expected counts.
        p_value: if nothing has changed, it ever falls to p with probability p at most.
        level: the largest p-value that counts as a drift.
        change: the largest change, if anything changed.
    """

    images: int
    expected: Expected
    p_value: float
    level: float
    change: Change

    @property
    def seen(self) -> bool:
        """Whether there is a drift."""
        return self.p_value <= self.level

    @property
    def sentence(self) -> str:
        """The result in a sentence, for an operator."""
        if not self.seen:
            return f"no drift seen in {self.images:,} images (p {self.p_value:.2g})"
        return (
            f"drift: the last {self.change.images:,} images are not like {self.expected.data} "
            f"(p {self.p_value:.2g}): {self.change.words}"
        )


@dataclass(frozen=True, slots=True)
class Start:
    """Counts at the time when a bet on all later images was opened.

    Attributes:
        number: number of bets opened before it.
        cells: (2, exits, BINS), as :meth:`Tally.cells` gives them.
    """

    number: int
    cells: Counts


@dataclass(frozen=True, slots=True)
class _Question:
    """A yes/no question about an exit's images, and the counts of its answers."""

    exit: int
    edge: float | None
    yes: int
    asked: int

    @property
    def share(self) -> float | None:
        return self.yes / self.asked if self.asked else None


def find_drift(
    expected: Expected,
    names: Sequence[str],
    starts: Sequence[Start],
    cells: Counts,
    level: float = LEVEL,
) -> Drift:
    """Test whether images leave as expected.

    Args:
        expected: the expected counts, at the thresholds that the images left at.
        names: the exits' names.
        starts: starts of the bets; the counts of the first are 0.
        cells: (2, exits, BINS), the counts so far.
        level: upper bound on the probability of ever reporting a drift where there is none.
    """
    thresholds = [expected.thresholds.get(name, 0.0) for name in names]
    table = expected.cells(names)
    old = _questions(np.stack([table, np.zeros_like(table)]), thresholds)
    low, high = intervals([q.yes for q in old], [q.asked for q in old])
    bounds = list(zip(low.tolist(), high.tolist(), strict=True))
    capital, most = -math.inf, -math.inf
    strongest = (old[0], old[0], 0)
    for start in starts:
        since = cells - start.cells
        part = -math.log((start.number + 1) * (start.number + 2) * len(old))
        for was, now, (least, largest) in zip(
            old, _questions(since, thresholds), bounds, strict=True
        ):
            bet = part + _log_wealth(now.yes, now.asked, least, largest)
            capital = float(np.logaddexp(capital, bet))
            if bet > most:
                most, strongest = bet, (was, now, int(since.sum()))
    was, now, images = strongest
    change = Change(names[now.exit], now.edge, now.share, was.share, images)
    p_value = min(1.0, math.exp(-capital) + DOUBT) if capital > 0 else 1.0
    return Drift(int(cells.sum()), expected, p_value, level, change)


def intervals(
    yes: Sequence[int], asked: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return bounds of the probabilities of yes; all hold at once with 1 - :data:`DOUBT`.

    They are Zubkov and Serov's (Theory of Probability and its Applications 57, 2013), hardly wider
    than Clopper and Pearson's: P(Bin(n, p) <= k) <= Phi(-sqrt(2 n KL((k + 1) / n, p))).
    """
    n = np.maximum(np.array(asked, np.float64), 1)
    chance = DOUBT / (2 * max(len(asked), 1))
    reach = NormalDist().inv_cdf(1 - chance) ** 2 / 2 / n

    def upper(k: NDArray[np.float64]) -> NDArray[np.float64]:
        share = np.minimum((k + 1) / n, 1)
        low, high = share, np.ones_like(share)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            within = _divergence(share, middle) < reach
            low, high = np.where(within, middle, low), np.where(within, high, middle)
        return high

    k = np.array(yes, np.float64)
    return 1 - upper(n - k), upper(k)


def _divergence(share: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Kullback-Leibler divergence of two probabilities, in nats."""
    with np.errstate(divide="ignore", invalid="ignore"):
        yes = np.where(share > 0, share * np.log(share / p), 0)
        no = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - p)), 0)
    divergence: NDArray[np.float64] = yes + no
    return divergence


def _questions(cells: Counts, thresholds: Sequence[float]) -> list[_Question]:
    """Return the answers to all questions of exits that are on, from (2, exits, BINS) counts."""
    left, cut = cells[0], cells[1].sum(axis=1)
    found = []
    for exit_, threshold in enumerate(thresholds):
        if threshold == NEVER:
            continue
        surer = np.cumsum(left[exit_][::-1])[::-1].tolist()  # per bin: that bin and those above
        gone = int(left[exit_ + 1 :].sum() + cut[exit_:].sum())
        if exit_ < len(thresholds) - 1:
            found.append(_Question(exit_, None, surer[0], surer[0] + gone))
        found += [
            _Question(exit_, CONFIDENCE_EDGES[bin_], surer[bin_], surer[0])
            for bin_ in range(lowest_bin(threshold) + 1, len(surer))
        ]
    return found


def _log_wealth(yes: int, asked: int, low: float, high: float) -> float:
    """Return the log of the wealth from one question."""
    if asked == 0:
        return 0.0
    averaged = math.lgamma(yes + 0.5) + math.lgamma(asked - yes + 0.5) - math.lgamma(asked + 1)
    p = min(max(yes / asked, low), high)
    most = (yes * math.log(p) if yes else 0.0) + (
        (asked - yes) * math.log1p(-p) if asked > yes else 0.0
    )
    return averaged - math.log(math.pi) - most
