"""Early exit at the accuracy of another model: which of the two is faster.

Thresholds are chosen on one half of the images, the validation half, and evaluated on the other,
the test half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from edgeexit_runtime.progress import Progress, ignore_progress
from numpy.typing import NDArray

from edgeexit.bench.advice.basis import Basis, halves
from edgeexit.bench.results.mixture import ISO_ACCURACY, VERSUS, IsoAccuracy, Reached
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.statistics.bootstrap import mean_intervals, ratios_of_means

if TYPE_CHECKING:
    from edgeexit.bench.images import BenchImages
    from edgeexit.bench.timing.passes import Runs

STEP = "thresholds"
MIN_HALF = 50  # one image is then 2 % of the accuracy


@dataclass(frozen=True, slots=True, eq=False)
class IsoAccuracyChoice:
    """The choice of thresholds, made before anything is timed.

    Attributes:
        candidate: the bundle at the chosen thresholds; None if none reach the target accuracy.
        labels: (N,) the true classes of all images.
        test: (n,) indices of the test half.
        validation_images: number of images in the validation half.
        target_accuracy, best_accuracy: as in :class:`IsoAccuracy`.
    """

    candidate: Candidate | None
    labels: NDArray[np.int64]
    test: NDArray[np.intp]
    validation_images: int
    target_accuracy: float
    best_accuracy: float


def choose_iso_accuracy(
    early_exit: Candidate,
    versus: Candidate | None,
    images: BenchImages,
    basis: Basis | str,
    seed: int,
    progress: Progress = ignore_progress,
) -> IsoAccuracyChoice | str:
    """Choose the thresholds of the least cost at which early exit is as accurate as ``versus``.

    The search is that of ``edgeexit tune``, on one half of the images, drawn with ``seed``.

    Args:
        versus: the other model; None if none was named.
        images: those of ``basis``.
        basis: to choose thresholds by, or the reason why none can be chosen.

    Returns:
        The choice, or the reason why there is none.
    """
    if versus is None:
        return "no other model was named"
    if isinstance(basis, str):
        return basis
    labels = basis.predictions.targets
    if len(labels) < 2 * MIN_HALF:
        return f"expected at least {2 * MIN_HALF} images with labels, got {len(labels)}"
    # imports torch
    from edgeexit.errors import TuningError
    from edgeexit.thresholds import Limits, best_setting, search_thresholds

    progress(STEP, 0)
    versus.prepare()
    versus_right = versus.session.infer(images.images).labels == labels
    validation, test = halves(len(labels), seed)
    target = float(versus_right[validation].mean())
    chosen_on = basis.predictions.take(validation)
    front = search_thresholds(chosen_on, basis.costs, progress=partial(progress, STEP))
    progress(STEP, 1)
    try:
        thresholds = best_setting(front, Limits(min_accuracy=target)).thresholds
    except TuningError:  # out of reach: a valid result
        candidate = None
    else:
        name = f"as accurate as {versus.name}"
        candidate = Candidate(ISO_ACCURACY, name, early_exit.session, thresholds)
    best = int(front.correct[-1]) / front.samples
    return IsoAccuracyChoice(candidate, labels, test, len(validation), target, best)


def judge_iso_accuracy(choice: IsoAccuracyChoice, runs: Sequence[Runs]) -> IsoAccuracy:
    """Return the results of the choice on the test half.

    Args:
        runs: of queries of one image, including those of both candidates.
    """
    test = choice.test

    def on_test(role: str) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        found = next(it for it in runs if it.candidate.role == role)
        return (found.labels == choice.labels)[test], found.by_image()[:, test]

    versus_right, versus_ms = on_test(VERSUS)
    reached = None
    if choice.candidate is not None:
        ours_right, ours_ms = on_test(ISO_ACCURACY)
        (ratio,) = ratios_of_means([ours_ms], versus_ms)
        (lost,) = mean_intervals(versus_right[None].astype(np.float64) - ours_right)
        reached = Reached(
            thresholds=dict(choice.candidate.thresholds),
            accuracy=float(ours_right.mean()),
            mean_ms=float(ours_ms.mean()),
            ratio=ratio,
            lost_accuracy=lost,
        )
    return IsoAccuracy(
        validation_images=choice.validation_images,
        test_images=len(test),
        target_accuracy=choice.target_accuracy,
        best_accuracy=choice.best_accuracy,
        versus_accuracy=float(versus_right.mean()),
        versus_mean_ms=float(versus_ms.mean()),
        reached=reached,
    )
