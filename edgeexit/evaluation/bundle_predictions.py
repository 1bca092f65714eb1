"""Predictions of every exit of a bundle, from its own graphs in its own precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from edgeexit_runtime import ExitAnswers, Session
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from edgeexit.errors import DataError
from edgeexit.evaluation.predictions import ExitPredictions


def predict_bundle(
    session: Session,
    dataset: Dataset[Any],
    *,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> ExitPredictions:
    """Run every exit of a bundle on every sample of ``dataset``; no sample leaves early.

    Args:
        session: a loaded bundle; its thresholds are neither used nor changed.
        dataset: items (image tensor (C, H, W) float32, normalized as the bundle expects, label).
        workers: number of processes that load data; 0 loads in the current process.
        progress: called after each batch with the number of samples processed so far.

    Raises:
        DataError: the data set has no samples.
        InputError: the images have another shape, or values that are not finite.
    """
    answers: list[ExitAnswers] = []
    targets: list[NDArray[np.int64]] = []
    for images, classes in DataLoader(dataset, session.manifest.max_batch, num_workers=workers):
        answers.append(session.infer_all_exits(images.numpy()))
        targets.append(classes.numpy())
        if progress is not None:
            progress(sum(map(len, targets)))
    if not answers:
        raise DataError("expected a data set with samples to evaluate on, got an empty one")
    return ExitPredictions(
        session.manifest.exit_names,
        np.concatenate([answer.confidences for answer in answers], axis=1),
        np.concatenate([answer.labels for answer in answers], axis=1),
        np.concatenate(targets),
    )
