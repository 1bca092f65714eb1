"""A figure with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE_LEVEL = 0.95
BREAK_EVEN = 0.02  # smaller differences in time are within the variation between runs


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its interval at :data:`CONFIDENCE_LEVEL`.

    Attributes:
        value: the figure, from all measurements.
        low, high: the ends of the interval.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, resampled: NDArray[np.float64]) -> Interval:
        """Return a figure with the percentile interval of its values in resamples (R,)."""
        outside = (1 - CONFIDENCE_LEVEL) / 2
        low, high = np.quantile(resampled, (outside, 1 - outside)).tolist()
        return cls(value, low, high)

    def __format__(self, spec: str) -> str:
        """Return all three numbers: ``0.600 [0.580, 0.620]`` for ``.3f``."""
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def is_below(self, bound: float) -> bool:
        """Whether the whole interval is below ``bound``."""
        return max(self.value, self.high) < bound

    def is_above(self, bound: float) -> bool:
        """Whether the whole interval is above ``bound``."""
        return min(self.value, self.low) > bound

    @property
    def is_faster(self) -> bool:
        """Whether a ratio of times is below 1 by more than the variation between runs."""
        return self.is_below(1 - BREAK_EVEN)

    @property
    def is_slower(self) -> bool:
        """Whether a ratio of times is above 1 by more than the variation between runs."""
        return self.is_above(1 + BREAK_EVEN)

    @property
    def is_break_even(self) -> bool:
        """Whether a ratio of times is known to be within the variation between runs."""
        return self.is_above(1 - BREAK_EVEN) and self.is_below(1 + BREAK_EVEN)
