"""What every exit of a bundle says of images with labels, and which of these choose or judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from edgeexit_runtime import Session
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgeexit.bench.images import BenchImages
    from edgeexit.evaluation import ExitPredictions


def predict_exits(session: Session, images: BenchImages) -> ExitPredictions:
    """Return the answers of all exits, wherever an image would leave.

    Raises:
        ValueError: the images have no labels.
    """
    from edgeexit.evaluation import ExitPredictions  # imports torch

    if images.labels is None:
        raise ValueError("images: expected some with labels")
    answers = session.infer_all_exits(images.images)
    names = session.manifest.exit_names
    return ExitPredictions(names, answers.confidences, answers.labels, images.labels)


def halves(count: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which of ``count`` images thresholds are chosen on, and which they are judged on.

    The first half is the smaller one where ``count`` is odd.
    """
    order = np.random.default_rng(seed).permutation(count)
    return order[: count // 2], order[count // 2 :]
