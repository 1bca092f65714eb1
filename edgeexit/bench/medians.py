"""Times of turns and passes -> medians, and what other rounds of the same kind might have given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit.bench.paths import PathTimes
from edgeexit.bench.report import Mixture
from edgeexit.bench.turns import CALLS_PER_TURN

__all__ = ["GATES", "PLAIN_GRAPH", "Medians", "MixedTime", "medians_of", "resampled_medians"]

PLAIN_GRAPH, GATES = "plain graph", "gates"  # turns
RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class MixedTime:
    """An average image: its mean, and the same of the medians of those that leave at one exit."""

    typical_ms: float
    mean_ms: float


@dataclass(frozen=True, slots=True)
class Medians:
    """Milliseconds of one call, by name.

    Attributes:
        graphs: of stages, branches and the plain backbone's graph, alone.
        gates: of gate and copies, by path.
        paths: of whole inferences.
        mixture, plain_mixture: median by exit and mean; None without a mixture.
    """

    graphs: dict[str, float]
    gates: dict[str, float]
    paths: dict[str, float]
    mixture: MixedTime | None
    plain_mixture: MixedTime | None


def medians_of(
    times: PathTimes,
    mixture: Mixture | None,
    rounds: NDArray[np.intp] | None = None,
    passes: NDArray[np.intp] | None = None,
) -> Medians:
    """Return the medians of calls, and the mixture's times.

    Args:
        times: of parts and paths, and of the turns :data:`PLAIN_GRAPH` and :data:`GATES`.
        mixture: of the same run.
        rounds, passes: which of them count, as indices; None for all.
    """
    plain = times.baseline.name

    def median(calls_ms: Sequence[float]) -> float:
        return float(np.median(_chosen(np.array(calls_ms), rounds)))

    graphs = {part.name: median(part.times_ms) for part in times.parts}
    graphs[plain] = median([ms for (ms,) in times.more[PLAIN_GRAPH]])
    columns = zip(*times.more[GATES], strict=True)
    names = (*(path.name for path in times.paths), plain)
    gates = {name: median(column) for name, column in zip(names, columns, strict=True)}
    paths = {path.name: median(path.times_ms) for path in (*times.paths, times.baseline)}
    if mixture is None:
        return Medians(graphs, gates, paths, None, None)
    left_at = np.array(mixture.left_at)
    return Medians(
        graphs,
        gates,
        paths,
        _mixed(mixture.times_ms, left_at, passes),
        _mixed(mixture.baseline_times_ms, np.zeros_like(left_at), passes),
    )


def resampled_medians(times: PathTimes, mixture: Mixture | None) -> Iterator[Medians]:
    """Yield medians of rounds and passes drawn with replacement; nothing of a single round."""
    rounds = len(times.baseline.times_ms) // CALLS_PER_TURN
    if rounds < 2:
        return
    passes = 1 if mixture is None else len(mixture.times_ms)
    rng = np.random.default_rng(0)
    for _ in range(RESAMPLES):
        drawn = rng.integers(rounds, size=rounds), rng.integers(passes, size=passes)
        yield medians_of(times, mixture, *drawn)


def _mixed(
    passes_ms: Sequence[Sequence[float]],
    left_at: NDArray[np.int64],
    passes: NDArray[np.intp] | None,
) -> MixedTime:
    """Return mean and typical time of passes over N images that left at these exits, (N,)."""
    times_ms = np.array(passes_ms)
    if passes is not None:
        times_ms = times_ms[passes]
    typical_ms = sum(
        np.mean(left_at == exit_) * np.median(times_ms[:, left_at == exit_])
        for exit_ in np.unique(left_at)
    )
    return MixedTime(float(typical_ms), float(times_ms.mean()))


def _chosen(calls_ms: NDArray[np.float64], rounds: NDArray[np.intp] | None) -> NDArray[np.float64]:
    return calls_ms if rounds is None else calls_ms.reshape(-1, CALLS_PER_TURN)[rounds]
