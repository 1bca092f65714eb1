"""What thresholds are chosen by: answers of all exits to images with labels, and path costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from edgeexit_runtime import Session
from numpy.typing import NDArray

from edgeexit.errors import DataError

if TYPE_CHECKING:
    from edgeexit.bench.images import BenchImages
    from edgeexit.bench.timing.paths import PathTimes
    from edgeexit.evaluation import ExitPredictions, PathCosts


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """What thresholds are chosen by.

    Attributes:
        predictions: of all exits, of all images, wherever one would leave.
        costs: milliseconds of the exit paths.
    """

    predictions: ExitPredictions
    costs: PathCosts


def basis_of(session: Session, images: BenchImages | None, times: PathTimes) -> Basis | str:
    """Return what thresholds of a bundle are chosen by, or in words why none can be chosen."""
    if images is None or images.labels is None:
        got = "none were given" if images is None else "these have none"
        return f"it takes images with labels, and {got}"
    from edgeexit.bench.path_costs import measured_costs  # imports torch

    try:
        costs = measured_costs(times)
    except DataError as error:  # noise made a branch dearer than the path it is on
        return str(error)
    return Basis(predict_exits(session, images.images, images.labels), costs)


def predict_exits(
    session: Session, images: NDArray[np.float32], labels: NDArray[np.int64]
) -> ExitPredictions:
    """Return the answers of all exits, wherever an image would leave."""
    from edgeexit.evaluation import ExitPredictions  # imports torch

    answers = session.infer_all_exits(images)
    names = session.manifest.exit_names
    return ExitPredictions(names, answers.confidences, answers.labels, labels)


def halves(count: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which of ``count`` images thresholds are chosen on, and which they are judged on.

    The first half is the smaller one where ``count`` is odd.
    """
    order = np.random.default_rng(seed).permutation(count)
    return order[: count // 2], order[count // 2 :]
