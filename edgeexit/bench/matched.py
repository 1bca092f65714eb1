"""The chain at the accuracy of another model: which of them is faster there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeexit.bench.alternatives import VERSUS, Alternative
from edgeexit.bench.block_bootstrap import interval, resample_images
from edgeexit.bench.predictions import halves, predict_exits

if TYPE_CHECKING:
    from edgeexit.bench.images import BenchImages
    from edgeexit.bench.passes import Passes, Runs
    from edgeexit.evaluation import PathCosts

__all__ = [
    "MIN_HALF",
    "Choice",
    "MatchedAccuracy",
    "choose_matched",
    "judge_matched",
    "ratio_interval",
]

MIN_HALF = 50  # one image is 2 % of the accuracy then
MARGIN = 1.96  # standard errors: 95 %


@dataclass(frozen=True, slots=True)
class MatchedAccuracy:
    """The chain at thresholds that were chosen to be as accurate as another model.

    Thresholds are chosen on one half of the images and judged on the other.

    Attributes:
        versus: name of the other model's alternative.
        choosing, judging: number of images in each half.
        target_accuracy: of the other model on the choosing half.
        best_accuracy: the most that any thresholds reach there.
        thresholds: the cheapest that reach the target there; None where none do, and what is said
            of the chain below is None then.
        accuracy, mean_ms: of the chain at these thresholds on the judging half.
        versus_accuracy, versus_mean_ms: of the other model on the judging half.
        ratio_low, ratio_high: the 95 % interval of the chain's mean over the other's there.
        accuracy_margin: by how much the difference of the two accuracies may be off, at 95 %, from
            the images that only one of them got right.
    """

    versus: str
    choosing: int
    judging: int
    target_accuracy: float
    best_accuracy: float
    thresholds: dict[str, float] | None
    accuracy: float | None
    mean_ms: float | None
    versus_accuracy: float
    versus_mean_ms: float
    accuracy_margin: float | None
    ratio_low: float | None = None
    ratio_high: float | None = None

    @property
    def ratio(self) -> float | None:
        """The chain's mean over the other model's on the judging half."""
        return None if self.mean_ms is None else self.mean_ms / self.versus_mean_ms

    @property
    def as_accurate(self) -> bool:
        """Whether the chain kept the other's accuracy on images that were not used to choose."""
        if self.accuracy is None or self.accuracy_margin is None:
            return False
        return self.versus_accuracy - self.accuracy <= self.accuracy_margin


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What was chosen before anything is timed.

    Attributes:
        versus: the other model.
        alternative: the chain at the thresholds that were chosen; None where none reach.
        judging: (n,) the images that were not used, by index.
        choosing: how many were.
        target_accuracy, best_accuracy: as in :class:`MatchedAccuracy`.
    """

    versus: Alternative
    alternative: Alternative | None
    judging: NDArray[np.intp]
    choosing: int
    target_accuracy: float
    best_accuracy: float


def choose_matched(
    chain: Alternative,
    versus: Alternative,
    images: BenchImages,
    costs: PathCosts,
    seed: int,
    progress: Callable[[float], None] = lambda done: None,
) -> Choice | None:
    """Choose the thresholds of the least cost at which the chain is as accurate as ``versus``.

    Both are asked about every image; the search is that of ``edgeexit tune``, on one half of the
    images, drawn by ``seed``.

    Args:
        chain: what thresholds are chosen for.
        versus: whose accuracy is the target, at its own thresholds.
        images: with labels.
        costs: what each path takes on this device.
        seed: of the halves.
        progress: told which fraction of the search, 0 to 1, is done.

    Returns:
        The choice; None where there are no labels, or fewer than :data:`MIN_HALF` images a half.
    """
    labels = images.labels
    if labels is None or len(labels) < 2 * MIN_HALF:
        return None
    # imports torch
    from edgeexit.errors import TuningError
    from edgeexit.evaluation import Limits, best_setting, search_thresholds

    progress(0)
    versus.prepare()
    versus_right = versus.session.infer(images.images).labels == labels
    predictions = predict_exits(chain.session, images)
    choosing, judging = halves(len(labels), seed)
    target = float(versus_right[choosing].mean())
    front = search_thresholds(predictions.take(choosing), costs, progress=progress)
    progress(1)
    try:
        thresholds = best_setting(front, Limits(min_accuracy=target)).thresholds
    except TuningError:  # out of reach, which is an answer
        alternative = None
    else:
        name = f"as accurate as {versus.name.removeprefix(VERSUS)}"
        alternative = Alternative(name, chain.session, thresholds)
    best = int(front.correct[-1]) / front.samples
    return Choice(versus, alternative, judging, len(choosing), target, best)


def judge_matched(choice: Choice, passes: Passes, labels: NDArray[np.int64]) -> MatchedAccuracy:
    """Return what the choice came to on the images that were not used for it.

    Args:
        choice: of the thresholds.
        passes: of queries of one image, with both alternatives among its runs.
        labels: (N,) the true classes of all images.
    """
    runs = {run.alternative.name: run for run in passes.runs}
    judging = choice.judging

    def judge(run: Runs) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        right: NDArray[np.bool_] = run.labels[judging] == labels[judging]
        return right, passes.by_image(run)[:, judging]

    versus_right, versus_ms = judge(runs[choice.versus.name])
    accuracy = mean_ms = margin = low = high = None
    if choice.alternative is not None:
        right, times_ms = judge(runs[choice.alternative.name])
        accuracy, margin = float(right.mean()), _margin(right, versus_right)
        mean_ms = float(times_ms.mean())
        low, high = ratio_interval(times_ms, versus_ms)
    return MatchedAccuracy(
        versus=choice.versus.name,
        choosing=choice.choosing,
        judging=len(judging),
        target_accuracy=choice.target_accuracy,
        best_accuracy=choice.best_accuracy,
        thresholds=None if choice.alternative is None else dict(choice.alternative.thresholds),
        accuracy=accuracy,
        mean_ms=mean_ms,
        versus_accuracy=float(versus_right.mean()),
        versus_mean_ms=float(versus_ms.mean()),
        accuracy_margin=margin,
        ratio_low=low,
        ratio_high=high,
    )


def ratio_interval(
    ours_ms: NDArray[np.float64], theirs_ms: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the 95 % interval of the ratio of two means on the same images, ours over theirs.

    Images and passes over them are drawn again and again, the same ones of both.

    Args:
        ours_ms, theirs_ms: (passes, N) milliseconds.
    """
    ((ours, theirs),) = resample_images(
        [[ours_ms, theirs_ms]], np.random.default_rng(0), together=True
    )
    return interval(ours / theirs)


def _margin(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return 1.96 standard errors of the difference of two accuracies on the same images."""
    differences = first.astype(np.float64) - second
    return MARGIN * float(differences.std()) / math.sqrt(len(differences))
