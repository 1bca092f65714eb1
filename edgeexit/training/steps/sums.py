"""Sums over an epoch's steps, on one process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochSums:
    """Sums over an epoch's steps so far.

    Attributes:
        steps: steps done.
        samples: training images seen.
        loss: sum of the images' losses.
        correct: number of correct predictions of each exit of the phase, in order.
        seconds: training time, without validation.
        waited_seconds: the part of it spent waiting for images.
    """

    steps: int
    samples: int
    loss: float
    correct: tuple[float, ...]
    seconds: float
    waited_seconds: float

    @property
    def values(self) -> list[float]:
        """The values to sum over processes; ``steps`` is the same on all of them."""
        return [self.samples, self.loss, *self.correct, self.seconds, self.waited_seconds]

    @classmethod
    def of(cls, steps: int, values: list[float]) -> EpochSums:
        """Return the sums that have these ``values``."""
        samples, loss, *correct, seconds, waited = values
        return cls(steps, int(samples), loss, tuple(correct), seconds, waited)

    @classmethod
    def none(cls, exits: int, steps: int = 0) -> EpochSums:
        """Return sums of zero for a number of exits."""
        return cls(steps, 0, 0.0, (0.0,) * exits, 0.0, 0.0)

    def plus(
        self, rows: Sequence[Sequence[float]], images: int, seconds: float, waited_seconds: float
    ) -> EpochSums:
        """Return the sums with more steps added.

        Args:
            rows: per step, the sum of its images' losses and each exit's correct predictions.
            images: images per step on this process.
            seconds, waited_seconds: total for all these steps.
        """
        loss, *correct = (math.fsum(column) for column in zip(*rows, strict=True))
        added = [images * len(rows), loss, *correct, seconds, waited_seconds]
        sums = [one + more for one, more in zip(self.values, added, strict=True)]
        return EpochSums.of(self.steps + len(rows), sums)
