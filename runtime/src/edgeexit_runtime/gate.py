"""The gate: which samples leave at an exit and which continue (Section III-C of the paper).

A sample leaves at the first exit whose confidence is at least the exit's threshold gamma. The
confidence is the largest softmax value, or the bundle's own score. The comparison is the last node
of every exit's graph and runs where the graph runs; this module routes samples by its result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.errors import BackendError, InputError

NEVER = 2.0
"""The threshold of an exit that is switched off: no sample leaves there; its branch is not run."""

MAX_CONFIDENCE = 1 + 2**-10
"""The next FP16 number above 1, which a softmax may be rounded up to."""


@dataclass(frozen=True, slots=True)
class GateOutputs:
    """Outputs of an exit's graph for the n samples that reached it.

    The arrays are views of buffers that the next run of the same exit overwrites.
    """

    exits: NDArray[np.bool_]  # (n,) confidence >= threshold
    labels: NDArray[np.int32]  # (n,)
    confidences: NDArray[np.float32]  # (n,) the score


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions for a batch of N images, in the order of the images.

    Attributes:
        labels: (N,) int64, the predicted classes.
        confidences: (N,) float32, the score of the exit that answered, from 0 to 1.
        exits: (N,) int64, the 0-based index of that exit.
        cut_short: (N,) bool, whether only the deadline made the image leave; None without one.
    """

    labels: NDArray[np.int64]
    confidences: NDArray[np.float32]
    exits: NDArray[np.int64]
    cut_short: NDArray[np.bool_] | None = None

    @classmethod
    def empty(cls, count: int) -> Predictions:
        """Return predictions for ``count`` images with undefined contents."""
        return cls(
            np.empty(count, np.int64), np.empty(count, np.float32), np.empty(count, np.int64)
        )

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """Return the predictions of several batches as one, in order."""
        if not parts:
            return cls.empty(0)
        cut = [part.cut_short for part in parts if part.cut_short is not None]
        return cls(
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.confidences for part in parts]),
            np.concatenate([part.exits for part in parts]),
            np.concatenate(cut) if len(cut) == len(parts) else None,
        )


@dataclass(frozen=True, slots=True)
class ExitAnswers:
    """Predictions of each of M exits for each of N images, in the order of the images.

    Attributes:
        labels: (M, N) int64, the predicted classes.
        confidences: (M, N) float32, the scores, from 0 to 1.
    """

    labels: NDArray[np.int64]
    confidences: NDArray[np.float32]

    @classmethod
    def empty(cls, exits: int, count: int) -> ExitAnswers:
        """Return answers with undefined contents."""
        return cls(np.empty((exits, count), np.int64), np.empty((exits, count), np.float32))


class Routing:
    """Tracks which samples of a batch have not left, and collects the answers of those that have.

    Between two runs of an engine, a numpy call costs several times what it costs in a tight loop.
    The usual case, a batch that leaves as a whole, is therefore one copy of the gate's outputs.
    """

    __slots__ = ("_answers", "_count", "_waiting")

    def __init__(self, count: int) -> None:
        self._count = count
        # both None until the first sample leaves
        self._answers: Predictions | None = None
        self._waiting: NDArray[np.intp] | None = None

    @property
    def waiting(self) -> NDArray[np.intp] | None:
        """Index of the sample in each row of the current batch; None until the first one leaves."""
        return self._waiting

    def leave(self, gate: GateOutputs, exit_index: int) -> NDArray[np.int64] | None:
        """Record the samples that leave here; return the rows of those that continue.

        Returns:
            Row numbers within the current batch, int64, see :func:`compacted_rows`; empty if all
            samples would leave, which :meth:`leave_all` then records; None if none leaves and
            the batch is unchanged.
        """
        leaving = gate.exits
        if len(leaving) == 1:
            return _NO_ROWS if leaving[0] else None
        count = np.count_nonzero(leaving)
        if count == 0:
            return None
        if count == len(leaving):
            return _NO_ROWS
        if self._waiting is None:
            self._waiting = np.arange(self._count)
        if self._answers is None:
            self._answers = Predictions.empty(self._count)
        where = self._waiting[leaving]
        _write(self._answers, where, gate.labels[leaving], gate.confidences[leaving], exit_index)
        rows = compacted_rows(leaving)
        self._waiting = self._waiting[rows]
        return rows

    def leave_all(self, gate: GateOutputs, exit_index: int) -> Predictions:
        """Record that all remaining samples leave here; return the answers of the whole batch."""
        if self._answers is None or self._waiting is None:
            exits = np.empty(self._count, _INT64)
            exits.fill(exit_index)
            return Predictions(gate.labels.astype(_INT64), gate.confidences.copy(), exits)
        _write(self._answers, self._waiting, gate.labels, gate.confidences, exit_index)
        return self._answers


def compacted_rows(leaving: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the k rows that continue, (k,) int64, ordered so that as few as possible move.

    Continuing samples among the first k rows keep their places; later ones fill the places of
    those that leave. Sources and targets of an in-place move therefore never overlap.

    Args:
        leaving: (n,), whether the sample of a row leaves.
    """
    flags = leaving.tolist()
    count = flags.count(False)
    behind = (row for row in range(count, len(flags)) if not flags[row])
    rows = [next(behind) if leaves else row for row, leaves in enumerate(flags[:count])]
    return np.array(rows, np.int64)


def _write(
    answers: Predictions,
    where: NDArray[np.intp],
    labels: NDArray[np.int32],
    confidences: NDArray[np.float32],
    exit_index: int,
) -> None:
    answers.labels[where] = labels
    answers.confidences[where] = confidences
    answers.exits[where] = exit_index


_INT64 = np.dtype(np.int64)  # numpy would create this on every call if given the type
_NO_ROWS: NDArray[np.int64] = np.empty(0, np.int64)


def check_gate(name: str, gate: GateOutputs, num_classes: int) -> GateOutputs:
    """Return the outputs of exit ``name`` if their values are possible.

    Raises:
        BackendError: a confidence is not between 0 and 1, or a label is not one of the classes.
    """
    # for so few numbers Python is several times faster than numpy
    if len(gate.labels) == 1:
        confidence, label = gate.confidences.item(), gate.labels.item()
        possible = 0 <= confidence <= MAX_CONFIDENCE and 0 <= label < num_classes
    else:
        confidences, labels = gate.confidences.tolist(), gate.labels.tolist()
        possible = (
            0 <= min(confidences) <= max(confidences) <= MAX_CONFIDENCE
            and sum(confidences) >= 0  # min and max may drop a NaN
            and 0 <= min(labels) <= max(labels) < num_classes
            and max(gate.exits.tobytes()) <= 1  # numpy assumes this of every bool
        )
    if possible:
        return gate
    raise BackendError(
        f"{name}: expected confidences of 0 to 1, labels of 0 to {num_classes - 1} and flags of 0 "
        f"to 1, got {_span(gate.confidences)}, {_span(gate.labels)} and "
        f"{_span(gate.exits.view(np.uint8))}; its values overflow its precision, or its weights "
        "are damaged: export it in a higher precision, or again"
    )


def _span(values: NDArray[Any]) -> str:
    return f"{values.min():g} to {values.max():g}"


def check_thresholds(thresholds: Mapping[str, float], exits: tuple[str, ...]) -> dict[str, float]:
    """Return ``thresholds`` as floats, in the order of ``exits``, the branch exits.

    Raises:
        InputError: an exit is missing or unknown, or a value is outside 0 to 2.
    """
    if not isinstance(thresholds, Mapping):
        raise InputError(
            f"thresholds: expected a mapping such as {{'exit1': 0.8}}, got {thresholds!r}"
        )
    if set(thresholds) != set(exits):
        raise InputError(
            f"thresholds: expected one for each of {list(exits)}, got {list(thresholds)}"
        )
    for name, value in thresholds.items():
        if not 0 <= as_number(value) <= NEVER:
            raise InputError(
                f"thresholds: {name}: expected 0 to 1 (or {NEVER} for never), got {value}"
            )
    return {name: float(thresholds[name]) for name in exits}


def saved_costs(branch_costs: Mapping[str, int], thresholds: Mapping[str, float]) -> dict[str, int]:
    """Return how much of each exit's Eq. 5 path cost is saved by branches that are not run.

    Args:
        branch_costs: cost of each exit's own branch, in the order of the exits.
        thresholds: an exit without one, such as the last, is on.
    """
    off = (cost * (thresholds.get(name) == NEVER) for name, cost in branch_costs.items())
    return dict(zip(branch_costs, accumulate(off), strict=True))


def average_macs(shares: Mapping[str, float], path_macs: Mapping[str, int]) -> float:
    """Return the adaptive average cost of Eq. 5: share leaving at m times the path cost of m.

    Args:
        shares: r_m, the share of samples that leaves at each exit; they sum to one.
        path_macs: the bracket of Eq. 5 for each exit.
    """
    return sum(share * path_macs[name] for name, share in shares.items())


def as_number(value: object) -> float:
    """Return ``value`` as a float, or NaN if it is not a number."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
