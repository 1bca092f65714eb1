"""Temperature scaling: calibrated confidences without changing a label.

Thresholds compare an exit's confidence, and networks are overconfident. Dividing an exit's logits
by one number, its temperature, corrects most of that and does not change which logit is largest
(Guo et al., On Calibration of Modern Neural Networks, https://arxiv.org/abs/1706.04599,
Section 4.2).
"""

from __future__ import annotations

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
from edgeexit.scores import SOFTMAX

BINS = 15
"""Number of bins of equal width, as in the paper cited above."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Bounds, since the best temperature is 0 for an exit that is always right and infinite for one at
chance level."""

HALVINGS = 60  # of the interval of 1/T, beyond the precision of float64


def expected_calibration_error(predictions: ExitPredictions) -> dict[str, float]:
    """Return, per exit, the mean distance between confidence and accuracy, 0 to 1.

    Samples are sorted into :data:`BINS` bins by confidence. The distance between a bin's mean
    confidence and its accuracy is weighted by its number of samples (Guo et al., Eq. 3).
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
    """Return the temperature that maximizes the likelihood of ``targets``.

    The mean negative log-likelihood is convex in 1/T; its minimum is found by bisection with the
    sign of the derivative.

    Args:
        logits: (N, K), N >= 1.
        targets: (N,) int64, the true classes.

    Returns:
        A number from :data:`MIN_TEMPERATURE` to :data:`MAX_TEMPERATURE`.
    """
    # only differences matter; relative to the largest logit they cannot overflow
    logits = (logits - logits.amax(dim=1, keepdim=True)).double()
    of_target = logits.gather(1, targets[:, None]).mean()
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = ((logits * middle).softmax(dim=1) * logits).sum(dim=1).mean()
        if expected > of_target:  # the derivative by 1/T is positive: the minimum is below
            high = middle
        else:
            low = middle
    return 2 / (low + high)


def collect_logits(
    net: nn.Module, dataset: Dataset[Any], **options: Any
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the logits (N, K) float32 of every exit and the true classes (N,), on the CPU.

    The options are those of :func:`edgeexit.evaluation.predict`.
    """
    batches, targets = run_batches(
        net,
        dataset,
        lambda logits: {name: tensor.float().cpu() for name, tensor in logits.items()},
        **options,
    )
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}, targets


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Temperatures fitted on one half of a split, and their effect on the other half.

    Attributes:
        temperatures: by the exit's name.
        fitted_on: number of samples for the fit.
        error_before, error_after: expected calibration errors on the other half, by exit.
        predictions: calibrated predictions of the other half, for choosing thresholds.
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
    """Fit a temperature per exit on half of ``dataset``, split with the same shares of each class.

    The logits of that half are kept in memory, N/2 x K x 4 bytes for each exit.

    Args:
        net: the network, whose temperatures are set. Its score is that of the predictions; the
            errors are of the softmax, since no other score is a probability.
        dataset: samples that the network was not trained on.
        before: predictions for all of them without temperatures, by the largest softmax value.
        batch_size, device, workers: see :func:`edgeexit.evaluation.predict`.

    Raises:
        DataError: there are too few samples to split.
    """
    fitting, held_out = stratified_split(before.targets, (0.5, 0.5), "calibration")
    options: dict[str, Any] = {"batch_size": batch_size, "device": device, "workers": workers}
    logits, targets = collect_logits(net, Subset(dataset, fitting.tolist()), **options)
    net.temperatures = {name: fit_temperature(of_exit, targets) for name, of_exit in logits.items()}
    held = Subset(dataset, held_out.tolist())
    predictions = predict(net, held, **options)
    score, net.score = net.score, SOFTMAX
    after = predictions if score == SOFTMAX else predict(net, held, **options)
    net.score = score
    return Calibration(
        dict(net.temperatures),
        len(fitting),
        expected_calibration_error(before.take(held_out)),
        expected_calibration_error(after),
        predictions,
    )
