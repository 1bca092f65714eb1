"""Calls of turns and passes -> one time each, and the same for resampled rounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from edgeexit_runtime.timing.turns import CALLS_PER_TURN
from numpy.typing import NDArray

from edgeexit.bench.results.mixture import Mixture
from edgeexit.bench.results.timings import PathTiming
from edgeexit.bench.roofline.turns import BASELINE_GRAPH, GATES
from edgeexit.bench.timing.paths import PathTimes
from edgeexit.statistics.bootstrap import draw_rounds
from edgeexit.statistics.percentiles import p10

RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class InferenceTime:
    """Times of a whole inference: ``p10``, and the reported time (a path's median, or a mean)."""

    p10_ms: float
    measured_ms: float


@dataclass(frozen=True, slots=True)
class MixtureTimes:
    """A mixture, and the times of an average image."""

    mixture: Mixture
    early_exit: InferenceTime
    baseline: InferenceTime


@dataclass(frozen=True, slots=True)
class CallTimes:
    """Milliseconds by name.

    Attributes:
        graphs: ``p10`` of stages, branches and the plain backbone's graph, alone.
        gates: ``p10`` of gate and copies, by path.
        paths: of every exit, and of the plain backbone under its name.
        mixture: of an average image; None if no images were run.
    """

    graphs: dict[str, float]
    gates: dict[str, float]
    paths: dict[str, InferenceTime]
    mixture: MixtureTimes | None


def call_times(
    times: PathTimes,
    mixture: Mixture | None,
    rounds: NDArray[np.intp] | None = None,
    passes: NDArray[np.intp] | None = None,
) -> CallTimes:
    """Return the times of parts, paths and mixture.

    Args:
        times: of parts and paths, and of the turns of :mod:`edgeexit.bench.roofline.turns`.
        mixture: of the same run.
        rounds, passes: indices of those to use; None for all.
    """
    baseline = times.baseline.name

    def chosen(calls_ms: Sequence[float]) -> NDArray[np.float64]:
        array = np.array(calls_ms)
        return array if rounds is None else array.reshape(-1, CALLS_PER_TURN)[rounds]

    def inference(path: PathTiming) -> InferenceTime:
        calls_ms = chosen(path.times_ms)
        return InferenceTime(p10(calls_ms), float(np.median(calls_ms)))

    graphs = {part.name: p10(chosen(part.times_ms)) for part in times.parts}
    graphs[baseline] = p10(chosen([ms for (ms,) in times.more[BASELINE_GRAPH]]))
    columns = zip(*times.more[GATES], strict=True)
    names = (*(path.name for path in times.paths), baseline)
    gates = {name: p10(chosen(column)) for name, column in zip(names, columns, strict=True)}
    paths = {path.name: inference(path) for path in (*times.paths, times.baseline)}
    mixed = None if mixture is None else _mixture_times(mixture, passes)
    return CallTimes(graphs, gates, paths, mixed)


def resampled_times(times: PathTimes, mixture: Mixture | None) -> Iterator[CallTimes]:
    """Yield times from rounds and passes drawn with replacement; none from a single round."""
    rounds = len(times.baseline.times_ms) // CALLS_PER_TURN
    if rounds < 2:
        return
    passes = 1 if mixture is None else len(mixture.baseline.times_ms)
    rng = np.random.default_rng(0)
    drawn = (draw_rounds(count, RESAMPLES, rng) for count in (rounds, passes))
    for of_rounds, of_passes in zip(*drawn, strict=True):
        yield call_times(times, mixture, of_rounds, of_passes)


def _mixture_times(mixture: Mixture, passes: NDArray[np.intp] | None) -> MixtureTimes:
    left_at = np.array(mixture.left_at)
    nowhere = np.zeros_like(left_at)  # the plain backbone has one exit
    return MixtureTimes(
        mixture,
        _average(mixture.early_exit.times_ms, left_at, passes),
        _average(mixture.baseline.times_ms, nowhere, passes),
    )


def _average(
    passes_ms: Sequence[Sequence[float]],
    left_at: NDArray[np.int64],
    passes: NDArray[np.intp] | None,
) -> InferenceTime:
    """Return the mean of passes over N images, and the exits' ``p10`` weighted by their shares.

    Args:
        passes_ms: (passes, N).
        left_at: (N,) the exit of each image.
        passes: indices of those to use; None for all.
    """
    times_ms = np.array(passes_ms)
    if passes is not None:
        times_ms = times_ms[passes]
    p10_ms = sum(
        np.mean(left_at == exit_) * p10(times_ms[:, left_at == exit_])
        for exit_ in np.unique(left_at)
    )
    return InferenceTime(float(p10_ms), float(times_ms.mean()))
