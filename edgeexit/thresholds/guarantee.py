"""Thresholds with a guarantee: learn on one half of the images, then test on the other.

Learn-then-test (Angelopoulos et al., arXiv 2110.01052), as used for early exit in "Fast yet Safe:
Early-Exiting with Risk Control" (Jazbec et al., NeurIPS 2024). The first half supplies candidates,
each with a threshold for every exit, ordered from safe to cheap. The second half tests them one
after another, each at the full level 1 - confidence, until the first that is not shown to be safe
(fixed sequence testing). Order and tests are fixed by the first half only. Therefore all
candidates that pass are safe simultaneously with probability ``confidence``; the cheapest is used.

The loss of an image that leaves at an exit depends on the risk:

- ``error``: 1 if the answer is wrong, else 0.
- ``disagreement``: 1 if it differs from the last exit's, else 0. It needs no labels.
- ``drop``: 1 if the exit is wrong and the last exit right, -1 if it is the other way round, else
  0: the mean is the drop in accuracy. As it is not binary, each candidate is tested by the method
  that was tighter on the first half: by the ones only, the one-sided loss of Jazbec et al., which
  is never below the drop, or by betting on all three values. See :mod:`edgeexit.statistics.risk`.

The guarantee holds for images that are drawn independently from the same source as these, and for
one attempt: it is weaker if several targets are tried and the one that passed is kept. Frames of
one video are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from edgeexit_runtime.bundle.guarantee_entry import DISAGREEMENT, DROP, ERROR, Guarantee
from edgeexit_runtime.bundle.manifest import FINAL
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.errors import TuningError
from edgeexit.evaluation.adaptive import leaving_exits
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.formats import format_promise
from edgeexit.statistics.risk import (
    LossCounts,
    images_needed,
    p_value,
    reachable_target,
    tighter_stake,
)
from edgeexit.thresholds.front import Front
from edgeexit.thresholds.grids import confidence_grids
from edgeexit.thresholds.search import search_thresholds
from edgeexit.thresholds.worst_path import worst_path

SAFER = 20
"""Steps from the safest setting of the front to one at which no image leaves early."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A guarantee to show for thresholds.

    Attributes:
        risk: one of :data:`edgeexit_runtime.bundle.guarantee_entry.RISKS`.
        target: upper limit of the risk, a fraction of all images.
        confidence: probability that the limit holds.
    """

    risk: str
    target: float
    confidence: float

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise TuningError(
                f"expected a {self.risk} above 0 and below 1, got {self.target}: no number of "
                "images can show 0, and 1 always holds; ask for 0.01 or more"
            )
        if not 0 < self.confidence < 1:
            raise TuningError(
                f"expected a confidence above 0 and below 1 such as 0.95, got {self.confidence}"
            )

    @property
    def level(self) -> float:
        """Upper limit of the probability that the promise is broken."""
        return 1 - self.confidence

    @property
    def words(self) -> str:
        """The promise as a phrase."""
        return format_promise(self.risk, self.target, self.confidence)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Thresholds with their losses and cost on the first half.

    ``stake`` is that of a test by betting; None for the binomial test of the losses.
    """

    thresholds: dict[str, float]
    lost: int
    cost: float
    stake: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Guaranteed:
    """The cheapest thresholds that keep the promise, and the evidence.

    Attributes:
        promise: the guarantee.
        thresholds: threshold of every exit but the last.
        counts: losses on the second half, which tested them.
        by_betting: whether the test was by betting rather than by the binomial tail.
        candidates: number of candidates.
        passed: number of candidates shown to be safe, including this one.
        front: losses against cost on the first half, which supplied the candidates.
    """

    promise: Promise
    thresholds: dict[str, float]
    counts: LossCounts
    by_betting: bool
    candidates: int
    passed: int
    front: Front

    def entry(self, data: str) -> Guarantee:
        """Return the guarantee to store with the thresholds; ``data`` describes the images."""
        return Guarantee(
            self.promise.risk,
            self.promise.target,
            self.promise.confidence,
            self.counts.images,
            self.counts.risk,
            data,
            self.thresholds,
        )


def exit_losses(predictions: ExitPredictions, risk: str) -> NDArray[np.int8]:
    """Return (M, N) int8: the loss of each image if it left at each exit, -1, 0 or 1."""
    if risk == DISAGREEMENT:
        predictions = predictions.against_last()
    wrong = np.logical_not(predictions.correct).astype(np.int8)
    losses: NDArray[np.int8] = wrong - wrong[-1] if risk == DROP else wrong
    return losses


def find_guaranteed(
    predictions: ExitPredictions,
    costs: PathCosts,
    promise: Promise,
    grid_size: int | None = None,
    *,
    max_path_cost: float | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> Guaranteed:
    """Return the cheapest thresholds that are shown to keep ``promise``.

    Args:
        predictions: predictions on independently drawn images that the network has not seen.
        costs: path cost of each exit.
        promise: the guarantee to show.
        grid_size, max_path_cost, progress: see :func:`search_thresholds`.

    Raises:
        TuningError: there are too few images, or no thresholds are shown to be safe; the message
            says how many images are needed, or which target can be shown.
    """
    order = np.random.default_rng(0).permutation(len(predictions.targets))
    first, second = (np.sort(half) for half in (order[: len(order) // 2], order[len(order) // 2 :]))
    _check_enough(len(order), len(second), promise)
    learn, test = predictions.take(first), predictions.take(second)
    front, candidates = _candidates(learn, costs, promise, grid_size, max_path_cost, progress)
    losses = exit_losses(test, promise.risk)
    passed: list[tuple[_Candidate, LossCounts]] = []
    for candidate in candidates:
        counts = _count(losses, leaving_exits(test, candidate.thresholds))
        if p_value(counts, promise.target, candidate.stake) > promise.level:
            break
        passed.append((candidate, counts))
    if not passed:
        raise _not_shown(len(order), counts, promise)
    cheapest, counts = min(passed, key=lambda found: found[0].cost)
    return Guaranteed(
        promise,
        cheapest.thresholds,
        counts,
        cheapest.stake is not None,
        len(candidates),
        len(passed),
        front,
    )


def _candidates(
    learn: ExitPredictions,
    costs: PathCosts,
    promise: Promise,
    grid_size: int | None,
    max_path_cost: float | None,
    progress: Callable[[float], None],
) -> tuple[Front, list[_Candidate]]:
    """Return the front of losses against cost, and the candidates from safe to cheap.

    They are ordered by the number of lost images; among equals, the most expensive comes first,
    since a setting with more images at the last exit is safer.
    """
    losses = exit_losses(learn, promise.risk)
    grids = confidence_grids(learn, grid_size)
    # label 0 for no loss, and 0 as the true class: "correct" then means "no loss"
    safe = ExitPredictions(
        learn.exit_names,
        learn.confidences,
        (losses > 0).astype(np.int64),
        np.zeros_like(learn.targets),
    )
    front = search_thresholds(safe, costs, grids, max_path_cost=max_path_cost, progress=progress)
    settings = [setting.thresholds for setting in front]
    settings += _safer(settings[-1], grids, costs, max_path_cost)
    nobody_leaves = costs.paid(dict.fromkeys(settings[-1], NEVER))[FINAL]
    candidates = []
    for thresholds in settings:
        left_at = leaving_exits(learn, thresholds)
        counts = _count(losses, left_at)
        cost = float(np.array([*costs.paid(thresholds).values()])[left_at].mean())
        stake = tighter_stake(counts, promise.target) if promise.risk == DROP else None
        # the last exit alone has no drop and no disagreement; its error still has to be shown
        if cost < nobody_leaves or promise.risk == ERROR:
            candidates.append(_Candidate(thresholds, counts.lost, cost, stake))
    if not candidates:
        raise TuningError(
            "no thresholds cost less on average than the last exit alone: leaving early saves "
            "nothing that could be guaranteed"
        )
    return front, sorted(candidates, key=lambda candidate: (candidate.lost, -candidate.cost))


def _safer(
    thresholds: dict[str, float],
    grids: tuple[NDArray[np.float32], ...],
    costs: PathCosts,
    max_path_cost: float | None,
) -> Iterator[dict[str, float]]:
    """Yield settings that rise from ``thresholds`` to the ends of the grids, within the limit."""
    places = [
        int(np.searchsorted(grid, np.float32(value)))
        for grid, value in zip(grids, thresholds.values(), strict=True)
    ]
    for share in np.arange(1, SAFER) / SAFER:
        values = [
            float(str(grid[place + int(share * (len(grid) - 1 - place))]))
            for grid, place in zip(grids, places, strict=True)
        ]
        worst = costs.in_unit(worst_path(costs, values))
        if max_path_cost is None or worst <= max_path_cost:
            yield dict(zip(thresholds, values, strict=True))


def _count(losses: NDArray[np.int8], left_at: NDArray[np.int64]) -> LossCounts:
    return LossCounts.of(losses[left_at, np.arange(len(left_at))])


def _check_enough(images: int, testing: int, promise: Promise) -> None:
    """Raise TuningError if even images without any loss would be too few."""
    needed = images_needed(0.0, promise.target, promise.level)
    assert needed is not None
    if testing >= needed and images > 1:  # at least one image to choose on
        return
    reachable = ""
    if testing > 0:
        lowest = reachable_target(LossCounts(testing, 0), promise.level)
        reachable = f", or ask for {_up(lowest)} or more"
    raise TuningError(
        f"{images} images are too few for {promise.words}: half of them are for the test, which "
        f"needs {needed} without a loss; give {2 * needed:,} or more{reachable}"
    )


def _not_shown(images: int, counts: LossCounts, promise: Promise) -> TuningError:
    """Return an error with the safest thresholds' losses, the images needed and a target."""
    share = counts.lost / counts.images
    needed = images_needed(share, promise.target, promise.level)
    if share >= promise.target:
        more = "more images would not show it"
    elif needed is None:
        more = "more than a million images would be needed"
    else:
        more = f"at that share, about {2 * needed:,} images instead of {images:,} would show it"
    return TuningError(
        f"no thresholds were shown to have {promise.words}: the safest lose {counts.lost} of the "
        f"{counts.images} images that test them ({share:.4f}); {more}, or ask for "
        f"{_up(reachable_target(counts, promise.level))} or more"
    )


def _up(fraction: float) -> str:
    """Return a fraction rounded up to four decimals, so that it still works as a target."""
    return f"{math.ceil(fraction * 1e4) / 1e4:g}"
