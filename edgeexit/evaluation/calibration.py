"""Temperatures: confidences that mean what they say, without changing a label.

A threshold asks how sure an exit is, and networks are surer than they are right. Dividing an exit's
logits by one number, its temperature, mends most of that and moves no largest logit (Guo et al.,
On Calibration of Modern Neural Networks, https://arxiv.org/abs/1706.04599, Section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from edgeexit.data.splits import stratified_split
from edgeexit.evaluation.predictions import ExitPredictions, predict, run_batches
from edgeexit.models.multi_exit import MultiExitNet

BINS = 15
"""Of equal width: what the paper cited above reports."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Where an exit is always right, or never better than chance, the best one is 0 or infinite."""

HALVINGS = 60  # of the interval of 1/T: further than float64 tells numbers apart


def expected_calibration_error(predictions: ExitPredictions) -> dict[str, float]:
    """Return per exit the mean distance between confidence and accuracy, 0 to 1.

    Samples are put in :data:`BINS` bins by confidence; each bin's distance between mean confidence
    and accuracy counts by its number of samples (Guo et al., Eq. 3).
    """
    return {
        name: _calibration_error(confidences, correct)
        for name, confidences, correct in zip(
            predictions.exit_names, predictions.confidences, predictions.correct, strict=True
        )
    }


def _calibration_error(confidences: NDArray[np.float32], correct: NDArray[np.bool_]) -> float:
    # bins are closed above, as in the paper: ((k - 1) / BINS, k / BINS]
    bins = np.ceil(confidences.astype(np.float64) * BINS).astype(np.intp)
    surplus = np.bincount(bins, weights=confidences - correct.astype(np.float64))
    return float(np.abs(surplus).sum() / len(confidences))


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """Return the temperature that makes ``targets`` most likely.

    The mean negative log-likelihood is convex in 1/T, and the sign of its derivative is enough to
    halve the interval again and again.

    Args:
        logits: (N, K), N >= 1.
        targets: (N,) int64, the true classes.

    Returns:
        A number from :data:`MIN_TEMPERATURE` to :data:`MAX_TEMPERATURE`.
    """
    # only differences count, and below the largest they cannot overflow
    logits = (logits - logits.amax(dim=1, keepdim=True)).double()
    of_target = logits.gather(1, targets[:, None]).mean()
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = ((logits * middle).softmax(dim=1) * logits).sum(dim=1).mean()
        if expected > of_target:  # the derivative by 1/T: the minimum lies below
            high = middle
        else:
            low = middle
    return 2 / (low + high)


def collect_logits(
    net: nn.Module,
    dataset: Dataset[Any],
    *,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the logits (N, K) float32 of every exit and the true classes (N,), on the CPU.

    The arguments are those of :func:`edgeexit.evaluation.predict`.
    """
    batches, targets = run_batches(
        net,
        dataset,
        lambda logits: {name: tensor.float().cpu() for name, tensor in logits.items()},
        batch_size=batch_size,
        device=device,
        workers=workers,
        progress=progress,
    )
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}, targets


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Temperatures that were fitted on one half of a split, and the other half at them.

    Attributes:
        temperatures: by the exit's name.
        fitted_on: number of samples that they were fitted on.
        error_before, error_after: expected calibration errors on the other half, by exit.
        predictions: of the other half, calibrated: what thresholds are chosen on.
    """

    temperatures: dict[str, float]
    fitted_on: int
    error_before: dict[str, float]
    error_after: dict[str, float]
    predictions: ExitPredictions


def calibrate(
    net: MultiExitNet,
    dataset: Dataset[Any],
    before: ExitPredictions,
    *,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
    workers: int = 0,
) -> Calibration:
    """Fit a temperature per exit on half of ``dataset``, every class shared out alike.

    The logits of that half are held in memory, N/2 x K x 4 bytes for each exit.

    Args:
        net: the network, which gets the temperatures.
        dataset: samples that the network was not trained on.
        before: what it answers to all of them without temperatures.
        batch_size, device, workers: see :func:`edgeexit.evaluation.predict`.

    Raises:
        DataError: too few samples to share out.
    """
    fitting, judging = stratified_split(before.targets, (0.5, 0.5), "calibration")
    how: dict[str, Any] = {"batch_size": batch_size, "device": device, "workers": workers}
    logits, targets = collect_logits(net, Subset(dataset, fitting.tolist()), **how)
    net.temperatures = {name: fit_temperature(of_exit, targets) for name, of_exit in logits.items()}
    after = predict(net, Subset(dataset, judging.tolist()), **how)
    return Calibration(
        dict(net.temperatures),
        len(fitting),
        expected_calibration_error(before.take(judging)),
        expected_calibration_error(after),
        after,
    )
