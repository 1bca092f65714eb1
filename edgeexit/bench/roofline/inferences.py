"""Additional turns, and the calls of all turns -> the times of every kind of inference.

The plain backbone's graph alone, and gate and copies, are timed in turns of their own, in the same
rounds as parts and paths.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from edgeexit_runtime import Session
from edgeexit_runtime.gate import NEVER, GateOutputs, Routing
from edgeexit_runtime.timing.calls import time_call
from edgeexit_runtime.timing.turns import CALLS_PER_TURN, Turn
from numpy.typing import NDArray

from edgeexit.bench.results.explanation import MIXTURE
from edgeexit.bench.results.mixture import Mixture
from edgeexit.bench.results.timings import PartTiming, PathTiming
from edgeexit.bench.roofline.breakdown import Inference
from edgeexit.bench.timing.paths import PathTimes
from edgeexit.statistics.bootstrap import draw_rounds
from edgeexit.statistics.percentiles import p10

BASELINE_GRAPH, GATES = "baseline graph", "gates"  # names of turns
RESAMPLES = 400


def baseline_graph_turn(baseline: Session, image: NDArray[np.float32]) -> Turn:
    """Return a turn of the plain backbone's graph alone, without session, gate and copies."""
    runner = baseline.runner
    (entry,) = baseline.manifest.exits
    run = partial(runner.run_exit, entry.name)
    return Turn(
        BASELINE_GRAPH,
        partial(runner.set_images, image),
        lambda: (time_call(run, runner.synchronize)[0],),
    )


def gates_turn(session: Session, baseline: Session, image: NDArray[np.float32]) -> Turn:
    """Return a turn of a session's work apart from graphs, for each path, then the baseline."""
    paths = [(session, index) for index in range(len(session.manifest.exits))]
    calls = [
        (partial(_gate, one, image, index), one.runner.synchronize)
        for one, index in (*paths, (baseline, 0))
    ]
    return Turn(
        GATES, lambda: None, lambda: tuple([time_call(run, wait)[0] for run, wait in calls])
    )


def _gate(session: Session, image: NDArray[np.float32], exit_index: int) -> object:
    """Do a session's work between graphs for an image that leaves at this exit."""
    session.runner.set_images(image)
    routing = Routing(len(image))
    for index in range(exit_index):
        routing.leave(_PASS, index)
    if exit_index + 1 < len(session.manifest.exits):
        routing.leave(_LEAVE, exit_index)
    return routing.leave_all(_LEAVE, exit_index)


_LEAVE, _PASS = (
    GateOutputs(np.array([leaves]), np.zeros(1, np.int32), np.ones(1, np.float32))
    for leaves in (True, False)
)


@dataclass(frozen=True, slots=True)
class CallTimes:
    """Times of graphs and inferences.

    Attributes:
        graphs: ``p10`` of stages, branches and the plain backbone's graph, alone, in milliseconds.
        forced: every exit path, then the plain backbone.
        mixed: the mixture, and the plain backbone on the same images; None if none were run.
    """

    graphs: dict[str, float]
    forced: tuple[Inference, ...]
    mixed: tuple[Inference, Inference] | None


def call_times(
    times: PathTimes,
    mixture: Mixture | None,
    rounds: NDArray[np.intp] | None = None,
    passes: NDArray[np.intp] | None = None,
) -> CallTimes:
    """Return the times of parts, paths and mixture.

    Args:
        times: of parts and paths, and of the turns above.
        mixture: of the same run.
        rounds, passes: indices of those to use; None for all.
    """
    plain = times.baseline

    def chosen(calls_ms: Sequence[float]) -> NDArray[np.float64]:
        array = np.array(calls_ms)
        return array if rounds is None else array.reshape(-1, CALLS_PER_TURN)[rounds]

    def forced(path: PathTiming, gate_ms: Sequence[float]) -> Inference:
        runs, calls_ms = dict.fromkeys(graphs_of[path.name], 1.0), chosen(path.times_ms)
        p10_ms, median_ms = p10(calls_ms), float(np.median(calls_ms))
        return Inference(path.name, path.path_macs, runs, p10(chosen(gate_ms)), p10_ms, median_ms)

    graphs = {part.name: p10(chosen(part.times_ms)) for part in times.parts}
    graphs[plain.name] = p10(chosen([ms for (ms,) in times.calls[BASELINE_GRAPH]]))
    graphs_of = {**path_graphs(times.parts), plain.name: [plain.name]}
    gates_ms = zip(*times.calls[GATES], strict=True)
    paths = tuple(map(forced, (*times.paths, plain), gates_ms))
    mixed = None if mixture is None else _mixed(mixture, times.parts, paths, passes)
    return CallTimes(graphs, paths, mixed)


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


def path_graphs(parts: Sequence[PartTiming], off: Container[str] = ()) -> dict[str, list[str]]:
    """Return the stages and branches that run on the path to each exit.

    Args:
        parts: all of them in the order of execution.
        off: exits that are switched off; their branches are not run.
    """
    paths: dict[str, list[str]] = {}
    before: list[str] = []
    for part in parts:
        if part.kind == "branch":
            paths[part.name] = [*before, part.name]
        if part.name not in off:
            before.append(part.name)
    return paths


def _mixed(
    mixture: Mixture,
    parts: Sequence[PartTiming],
    forced: Sequence[Inference],
    passes: NDArray[np.intp] | None,
) -> tuple[Inference, Inference]:
    """Return the inference of an average image, and the plain backbone's."""
    gates_ms, baseline = {path.name: path.gate_ms for path in forced}, forced[-1]
    graphs_of = path_graphs(parts, [it.name for it in mixture.exits if it.threshold == NEVER])
    runs: dict[str, float] = {}
    for exit_ in mixture.exits:
        for part in graphs_of[exit_.name] if exit_.share else ():
            runs[part] = runs.get(part, 0.0) + exit_.share
    left_at = np.array(mixture.left_at)
    p10_ms, mean_ms = _average(mixture.early_exit.times_ms, left_at, passes)
    ours = Inference(
        name=MIXTURE,
        macs=mixture.macs_ratio * baseline.macs,
        runs=runs,
        gate_ms=sum(exit_.share * gates_ms[exit_.name] for exit_ in mixture.exits),
        p10_ms=p10_ms,
        measured_ms=mean_ms,
    )
    nowhere = np.zeros_like(left_at)  # the plain backbone has one exit
    p10_ms, mean_ms = _average(mixture.baseline.times_ms, nowhere, passes)
    return ours, dataclasses.replace(baseline, p10_ms=p10_ms, measured_ms=mean_ms)


def _average(
    passes_ms: Sequence[Sequence[float]],
    left_at: NDArray[np.int64],
    passes: NDArray[np.intp] | None,
) -> tuple[float, float]:
    """Return the exits' ``p10`` weighted by their shares, and the mean, of passes over N images.

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
    return float(p10_ms), float(times_ms.mean())
