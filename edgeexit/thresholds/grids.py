"""Grids of threshold values for each exit."""

from __future__ import annotations

import numpy as np
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.errors import TuningError
from edgeexit.evaluation.predictions import ExitPredictions

MIN_GRID_SIZE = 102  # 0.00, 0.01, ..., 1.00 and NEVER
DEFAULT_GRID_SIZES = {1: 10_000, 2: 2_000}
DEFAULT_GRID_SIZE = 200
"""Largest number of grid values per exit, by number of branches: up to 8 million settings for three
branches."""


def confidence_grids(
    predictions: ExitPredictions, grid_size: int | None = None
) -> tuple[NDArray[np.float32], ...]:
    """Return a grid of threshold values for each branch exit, fitted to its confidences.

    A grid contains 0.00, 0.01, ..., 1.00, :data:`NEVER`, and quantiles of the confidences, since
    nearly all confidences of a very confident network are above 0.99. A quantile is halfway between
    two samples, so that rounding in an exported graph does not move a sample across it.

    Args:
        predictions: predictions for the samples on which thresholds are chosen.
        grid_size: largest number of values per exit, at least :data:`MIN_GRID_SIZE`; by default
            that of :data:`DEFAULT_GRID_SIZES` for the number of branches, or 200.

    Raises:
        TuningError: the grid size is too small.
    """
    branches = len(predictions.exit_names) - 1
    size = DEFAULT_GRID_SIZES.get(branches, DEFAULT_GRID_SIZE) if grid_size is None else grid_size
    if size < MIN_GRID_SIZE:
        raise TuningError(
            f"expected a grid of at least {MIN_GRID_SIZE} values per exit "
            f"(0.00 to 1.00 by 0.01, and never), got {size}"
        )
    fixed = np.append(np.arange(101) / 100, NEVER)
    return tuple(
        np.union1d(fixed.astype(np.float32), _quantiles(confidences, size - len(fixed)))
        for confidences in comparable(predictions.confidences[:-1])
    )


def comparable(confidences: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace NaN by a number that, like NaN, reaches no threshold."""
    return np.nan_to_num(confidences, nan=-1.0)


def _quantiles(confidences: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return up to ``count`` values halfway between neighbors in the sorted confidences."""
    ordered = np.sort(confidences).astype(np.float64)
    samples = len(ordered)
    ranks = np.unique(np.linspace(0, samples, count + 2)[1:-1].astype(np.intp))
    ranks = ranks[(ranks > 0) & (ranks < samples)]
    middles = (ordered[ranks - 1] + ordered[ranks]) / 2
    return middles[middles >= 0].astype(np.float32)
