"""The manifest's entry of expected exits: where images of a source leave, how confidently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.bundle.schema import check_range, check_text
from edgeexit_runtime.gate import NEVER, Predictions

CONFIDENCE_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)
"""Edges of histogram bins: a bin includes its lower edge, and the last its upper edge too."""
BINS = len(CONFIDENCE_EDGES) - 1
MAX_IMAGES = 2**53
_INNER_EDGES = np.array(CONFIDENCE_EDGES[1:-1], np.float32)


@dataclass(frozen=True, slots=True)
class Expected:
    """Where images leave, counted by running the bundle itself.

    Attributes:
        images: number of images.
        data: where they came from.
        thresholds: the thresholds of every exit but the last at which they left.
        histograms: for every exit, the number of images that left there by confidence, one count
            for each bin of :data:`CONFIDENCE_EDGES`.
    """

    images: int
    data: str
    thresholds: dict[str, float]
    histograms: dict[str, tuple[int, ...]]

    @classmethod
    def of(
        cls,
        answers: Predictions,
        exit_names: Sequence[str],
        thresholds: Mapping[str, float],
        data: str,
    ) -> Expected:
        """Count answers that were given at these thresholds."""
        cells = count_answers(answers.exits, answers.confidences, len(exit_names))
        histograms = {
            name: tuple(row) for name, row in zip(exit_names, cells.tolist(), strict=True)
        }
        return cls(len(answers.exits), data, dict(thresholds), histograms)

    def __post_init__(self) -> None:
        check_text("data", self.data)
        for name, value in self.thresholds.items():
            check_range(f"thresholds.{name}", value, 0, NEVER)
        for name, counts in self.histograms.items():
            if len(counts) != BINS or not all(0 <= count <= MAX_IMAGES for count in counts):
                raise ValueError(
                    f"histograms.{name}: expected {BINS} counts of 0 or more, got {list(counts)}"
                )
        total = sum(map(sum, self.histograms.values()))
        if self.images < 1 or total != self.images:
            raise ValueError(
                f"histograms: expected {self.images} images, 1 or more, in all, got {total}"
            )

    def leaving_shares(self, exit_names: Sequence[str]) -> dict[str, float]:
        """Return, for each exit that was reached, the share of the images reaching it that left.

        Args:
            exit_names: all exits, in order.
        """
        shares, reached = {}, self.images
        for name in exit_names:
            left = sum(self.histograms[name])
            if reached > 0:
                shares[name] = left / reached
            reached -= left
        return shares

    def cells(self, exit_names: Sequence[str]) -> NDArray[np.int64]:
        """Return the histograms of exits in order, (exits, BINS)."""
        return np.array([self.histograms[name] for name in exit_names], np.int64)


def count_answers(
    exits: NDArray[np.int64], confidences: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    """Return how many answers each of ``count`` exits gave, by confidence, (count, BINS)."""
    bins = np.searchsorted(_INNER_EDGES, confidences, side="right")
    cells: NDArray[np.int64] = np.bincount(exits * BINS + bins, minlength=count * BINS)
    return cells.reshape(count, BINS)


def lowest_bin(threshold: float) -> int:
    """Return the lowest bin of confidences at which images leave."""
    return int(np.searchsorted(_INNER_EDGES, np.float32(threshold), side="right"))
