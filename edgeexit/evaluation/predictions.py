"""Predictions of every exit for every sample, from which all evaluation is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from edgeexit.errors import CheckpointError, DataError
from edgeexit.models.mode import evaluating
from edgeexit.scores import SCORES, SOFTMAX, Score

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class ExitPredictions:
    """Predictions of M exits for each of N samples, as if no sample had left before.

    Attributes:
        exit_names: M names in order, ``final`` last.
        confidences: (M, N) float32, by the network's score; see :mod:`edgeexit.scores`.
        labels: (M, N) int64, the predicted class.
        targets: (N,) int64, the true class.
    """

    exit_names: tuple[str, ...]
    confidences: NDArray[np.float32]
    labels: NDArray[np.int64]
    targets: NDArray[np.int64]

    def __post_init__(self) -> None:
        expected = (len(self.exit_names), *self.targets.shape)
        if not self.confidences.shape == self.labels.shape == expected:
            raise ValueError(
                f"expected confidences and labels of shape {expected}, got "
                f"{self.confidences.shape} and {self.labels.shape}"
            )

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(M, N) bool: whether the exit's label is correct."""
        return np.equal(self.labels, self.targets)

    def against_last(self) -> ExitPredictions:
        """Return them with the last exit's labels as targets, so that accuracy is agreement."""
        return replace(self, targets=self.labels[-1])

    def take(self, samples: NDArray[np.int64]) -> ExitPredictions:
        """Return the predictions of some samples, by index (n,)."""
        return ExitPredictions(
            self.exit_names,
            self.confidences[:, samples],
            self.labels[:, samples],
            self.targets[samples],
        )


def predict(
    net: nn.Module,
    dataset: Dataset[Any],
    *,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> ExitPredictions:
    """Run every exit of ``net`` on every sample of ``dataset``, in order, in evaluation mode.

    Afterwards, modules are in the same mode as before. Torch's global random state is not changed,
    so that a training loop can call this between two epochs.

    Args:
        net: maps images (n, C, H, W) to logits (n, K) per exit by name, ``final`` last. It is
            moved to ``device`` and stays there.
        dataset: items (image tensor (C, H, W), int label).
        batch_size: samples per forward pass.
        device: the device for the network.
        workers: number of processes that load data; 0 loads in the current process.
        progress: called after each batch with the number of samples processed so far.

    Raises:
        DataError: the data set has no samples.
        CheckpointError: a logit is NaN or infinite.
    """
    batches, targets = run_batches(
        net,
        dataset,
        partial(_answers, SCORES[getattr(net, "score", SOFTMAX)]),
        batch_size=batch_size,
        device=device,
        workers=workers,
        progress=progress,
    )
    names, confidences, labels = zip(*batches, strict=True)
    return ExitPredictions(
        names[0], torch.cat(confidences, -1).numpy(), torch.cat(labels, -1).numpy(), targets.numpy()
    )


def _answers(score: Score, logits: dict[str, Tensor]) -> tuple[tuple[str, ...], Tensor, Tensor]:
    """Return the names of exits, and scores and labels (M, n) on the CPU."""
    stacked = torch.stack(list(logits.values()))  # (M, n, K)
    probabilities = stacked.float().softmax(-1)
    labels = probabilities.argmax(-1)  # (M, n)
    confidences = torch.from_numpy(score.of(probabilities.cpu().numpy()))
    return tuple(logits), confidences, labels.cpu()


def _check_finite(logits: dict[str, Tensor]) -> None:
    for name, values in logits.items():
        if not values.isfinite().all():  # argmax would be an arbitrary class
            raise CheckpointError(
                f"expected finite logits of {name}, got NaN or infinity: the weights are damaged, "
                "train the network or copy its checkpoint again"
            )


def run_batches(
    net: nn.Module,
    dataset: Dataset[Any],
    keep: Callable[[dict[str, Tensor]], Kept],
    *,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Kept], Tensor]:
    """Return the result of ``keep`` for the logits of each batch, and the true classes (N,).

    The other arguments, and the state that is restored, are the same as in :func:`predict`.

    Raises:
        DataError: the data set has no samples.
        CheckpointError: a logit is NaN or infinite.
    """
    loader = DataLoader(
        dataset,
        batch_size,
        num_workers=workers,
        generator=torch.Generator(),  # the loader draws a seed even without shuffling
    )
    net.to(device)
    kept: list[Kept] = []
    targets: list[Tensor] = []
    done = 0
    with evaluating(net), torch.inference_mode():
        for images, classes in loader:
            logits = net(images.to(device))
            _check_finite(logits)
            kept.append(keep(logits))
            targets.append(classes)
            done += len(classes)
            if progress is not None:
                progress(done)
    if not kept:
        raise DataError("expected a data set with samples to evaluate on, got an empty one")
    return kept, torch.cat(targets)
