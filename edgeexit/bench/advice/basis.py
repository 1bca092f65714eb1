"""Basis for choosing thresholds: predictions of all exits on labeled images, and path costs."""

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
    """Basis for choosing thresholds.

    Attributes:
        predictions: of every exit for every image, wherever the image would leave.
        costs: milliseconds of the exit paths.
    """

    predictions: ExitPredictions
    costs: PathCosts


def basis_of(session: Session, images: BenchImages | None, times: PathTimes) -> Basis | str:
    """Return the basis for choosing a bundle's thresholds, or the reason why there is none."""
    if images is None or images.labels is None:
        got = "none were given" if images is None else "these have none"
        return f"images with labels are needed, and {got}"
    from edgeexit.bench.path_costs import measured_costs  # imports torch

    try:
        costs = measured_costs(times)
    except DataError as error:  # noise made a branch slower than the path that contains it
        return str(error)
    return Basis(predict_exits(session, images.images, images.labels), costs)


def predict_exits(
    session: Session, images: NDArray[np.float32], labels: NDArray[np.int64]
) -> ExitPredictions:
    """Return the predictions of all exits, wherever an image would leave."""
    from edgeexit.evaluation import ExitPredictions  # imports torch

    answers = session.infer_all_exits(images)
    names = session.manifest.exit_names
    return ExitPredictions(names, answers.confidences, answers.labels, labels)


def halves(count: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of the validation half and of the test half of ``count`` images.

    The validation half is the smaller one if ``count`` is odd.
    """
    order = np.random.default_rng(seed).permutation(count)
    return order[: count // 2], order[count // 2 :]
