"""A linear model in place of Eq. 5 that predicts time from MACs, bytes and graph calls.

::

    time = a * MACs + b * bytes + c * calls,    a, b, c >= 0

It is fitted on the stages and branches, each timed alone as one call, by least squares of the
*relative* errors, since parts differ by orders of magnitude and errors are reported in percent.
The coefficients are costs per unit, so none may be negative. Of the eight subsets of features, the
best fit without negative coefficients is the solution of the non-negative least-squares problem
(Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23).

It is evaluated on data that it was not fitted on: the exit paths and the plain backbone, timed as
whole inferences, and each part, predicted by a fit of the others. Eq. 5 predicts ratios to the
plain backbone, so both are compared by these. All times are 10th percentiles of calls (``p10``), so
that a busy device does not look like a bad model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from edgeexit.bench.results.explanation import LinearModel, Prediction

FEATURES = 3
FEW_PARTS = 2 * FEATURES


@dataclass(frozen=True, slots=True)
class Observation:
    """A part, path or plain backbone: its work per sample, and its measured time."""

    name: str
    macs: float
    bytes: float
    calls: float
    measured_ms: float

    @property
    def features(self) -> tuple[float, float, float]:
        """The quantities that time is linear in."""
        return self.macs, self.bytes, self.calls


def fit_linear_model(
    parts: Sequence[Observation], paths: Sequence[Observation], baseline: Observation
) -> LinearModel | None:
    """Fit on the parts, evaluate on the rest; None without more parts than coefficients.

    Args:
        parts: stages and branches, one call each.
        paths: one per exit, with the sums of the MACs, bytes and calls of its parts.
        baseline: the plain backbone.
    """
    if len(parts) <= FEATURES:
        return None
    fitted = _fit(parts)
    predicted_ms = [float(np.dot(it.features, fitted)) for it in (baseline, *paths)]
    predictions = tuple(
        Prediction(
            path.name,
            path.measured_ms / baseline.measured_ms,
            ms / predicted_ms[0],
            path.macs / baseline.macs,
        )
        for path, ms in zip(paths, predicted_ms[1:], strict=True)
    )
    per_mac, per_byte, per_call = fitted.tolist()
    left_out = _leave_one_out(parts)
    return LinearModel(
        ms_per_mac=per_mac,
        ms_per_byte=per_byte,
        ms_per_call=per_call,
        parts=len(parts),
        is_overfitted=len(parts) < FEW_PARTS,
        fit_error=_error_of(fitted, parts),
        leave_one_out_error=float(np.mean(list(left_out.values()))) if left_out else None,
        worst_left_out=max(left_out, key=lambda name: left_out[name], default=None),
        baseline_error=predicted_ms[0] / baseline.measured_ms - 1,
        model_error=_mean_error([(it.model_ratio, it.measured_ratio) for it in predictions]),
        eq5_error=_mean_error([(it.macs_ratio, it.measured_ratio) for it in predictions]),
        predictions=predictions,
    )


def _leave_one_out(parts: Sequence[Observation]) -> dict[str, float]:
    """Return the error of each part by a fit of the others; empty with too few others."""
    if len(parts) <= FEATURES + 1:
        return {}
    return {
        part.name: _error_of(_fit([*parts[:index], *parts[index + 1 :]]), [part])
        for index, part in enumerate(parts)
    }


def _fit(parts: Sequence[Observation]) -> NDArray[np.float64]:
    """Return a, b and c."""
    times_ms = np.array([part.measured_ms for part in parts])
    relative = np.array([part.features for part in parts]) / times_ms[:, None]  # (parts, 3)
    scale = relative.max(axis=0, initial=0)  # MACs and calls differ by orders of magnitude
    scale[scale == 0] = 1
    scaled = relative / scale
    best, least = np.zeros(FEATURES), float(len(parts))  # all 0: every error is 1
    for count in range(1, FEATURES + 1):
        for chosen in map(list, combinations(range(FEATURES), count)):
            solved = np.linalg.lstsq(scaled[:, chosen], np.ones(len(parts)), rcond=None)[0]
            squares = float(np.sum((scaled[:, chosen] @ solved - 1) ** 2))
            if solved.min() >= 0 and squares < least:
                best, least = np.zeros(FEATURES), squares
                best[chosen] = solved
    unscaled: NDArray[np.float64] = best / scale
    return unscaled


def _error_of(coefficients: NDArray[np.float64], parts: Sequence[Observation]) -> float:
    predicted = [float(np.dot(part.features, coefficients)) for part in parts]
    measured = [part.measured_ms for part in parts]
    return _mean_error(list(zip(predicted, measured, strict=True)))


def _mean_error(pairs: Sequence[tuple[float, float]]) -> float:
    return float(np.mean([abs(predicted / measured - 1) for predicted, measured in pairs]))
