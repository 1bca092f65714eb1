"""Additional turns that explain the paths: the plain backbone's graph alone, gate and copies."""

from __future__ import annotations

from functools import partial

import numpy as np
from edgeexit_runtime import Session
from edgeexit_runtime.gate import GateOutputs, Routing
from edgeexit_runtime.timing.calls import time_call
from edgeexit_runtime.timing.turns import Turn
from numpy.typing import NDArray

BASELINE_GRAPH, GATES = "baseline graph", "gates"  # names of turns


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
