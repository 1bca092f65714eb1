"""Who leaves here, and who goes on (Section III-C of the paper).

A sample leaves at the first exit whose largest softmax value is at least the exit's threshold
gamma. The comparison itself is the last node of every exit's graph and runs wherever the graph
runs; what is here decides what becomes of its result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.errors import InputError

__all__ = ["NEVER", "GateOutputs", "Predictions", "Routing", "check_thresholds"]

NEVER = 2.0
"""A threshold above every softmax value: nobody leaves at an exit that has it."""


@dataclass(frozen=True, slots=True)
class GateOutputs:
    """What an exit's graph says of the n samples that reached it.

    The arrays are views of buffers that the next run of the same exit overwrites.
    """

    exits: NDArray[np.bool_]  # (n,) confidence >= threshold
    labels: NDArray[np.int32]  # (n,)
    confidences: NDArray[np.float32]  # (n,) largest softmax value


@dataclass(frozen=True, slots=True)
class Predictions:
    """Answers to a batch of N images, in the order of the images.

    Attributes:
        labels: (N,) int64, the predicted classes.
        confidences: (N,) float32, the largest softmax value at the exit that answered.
        exits: (N,) int64, the 0-based index of that exit.
    """

    labels: NDArray[np.int64]
    confidences: NDArray[np.float32]
    exits: NDArray[np.int64]

    @classmethod
    def empty(cls, count: int) -> Predictions:
        """Return predictions for ``count`` images with undefined contents."""
        return cls(
            np.empty(count, np.int64), np.empty(count, np.float32), np.empty(count, np.int64)
        )


class Routing:
    """Which samples of a batch are still on their way; writes the answers of those that left.

    Args:
        answers: where to write.
        start, stop: the batch's place in ``answers``.
    """

    __slots__ = ("_answers", "_waiting")

    def __init__(self, answers: Predictions, start: int, stop: int) -> None:
        self._answers = answers
        # positions of the samples still on their way; a slice while nobody has left, since
        # writing through a slice copies nothing
        self._waiting: slice | NDArray[np.intp] = slice(start, stop)

    def leave_all(self, gate: GateOutputs, exit_index: int) -> None:
        """Let everyone who is left leave here."""
        self._write(self._waiting, gate.labels, gate.confidences, exit_index)

    def leave(self, gate: GateOutputs, exit_index: int) -> NDArray[np.int64] | None:
        """Let those leave whom the gate lets; return the rows of those who go on.

        Returns:
            Ascending row numbers within the current batch, int64, empty when everyone has left;
            None when nobody has, and the batch stays as it is.
        """
        leaving = np.count_nonzero(gate.exits)
        if leaving == 0:
            return None
        if leaving == len(gate.exits):
            self.leave_all(gate, exit_index)
            return _NOBODY
        if isinstance(self._waiting, slice):
            self._waiting = np.arange(self._waiting.start, self._waiting.stop)
        where = self._waiting[gate.exits]
        self._write(where, gate.labels[gate.exits], gate.confidences[gate.exits], exit_index)
        rows = np.flatnonzero(~gate.exits)
        self._waiting = self._waiting[rows]
        return rows.astype(np.int64, copy=False)

    def _write(
        self,
        where: slice | NDArray[np.intp],
        labels: NDArray[np.int32],
        confidences: NDArray[np.float32],
        exit_index: int,
    ) -> None:
        self._answers.labels[where] = labels
        self._answers.confidences[where] = confidences
        self._answers.exits[where] = exit_index


_NOBODY: NDArray[np.int64] = np.empty(0, np.int64)


def check_thresholds(thresholds: Mapping[str, float], exits: tuple[str, ...]) -> dict[str, float]:
    """Return ``thresholds`` as floats, in the order of ``exits``, the branch exits.

    Raises:
        InputError: an exit is missing or unknown, or a value is outside 0 to 2.
    """
    if not isinstance(thresholds, Mapping):
        raise InputError(
            f"thresholds: expected a mapping such as {{'exit1': 0.8}}, got {thresholds!r}"
        )
    for name in thresholds:
        if name not in exits:
            known = ", ".join(exits) or "none"
            raise InputError(f"thresholds: no exit {name!r} takes one; known: {known}")
    missing = [name for name in exits if name not in thresholds]
    if missing:
        raise InputError(f"thresholds: none given for {', '.join(missing)}")
    for name, value in thresholds.items():
        if not 0 <= _number(value) <= NEVER:
            raise InputError(
                f"thresholds: {name}: expected 0 to 1 (or {NEVER} for never), got {value}"
            )
    return {name: float(thresholds[name]) for name in exits}


def _number(value: object) -> float:
    """Return ``value`` as a float, NaN where it is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
