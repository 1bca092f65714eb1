"""The parts of a bundle before and after they were made smaller: bytes, and time on this machine.

Both forms of all parts take turns within one run, so that their ratios hold however fast the
machine is at the moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from edgeexit_runtime.backends.onnxruntime.sessions import SessionOpener
from edgeexit_runtime.bundle.manifest import GATE_OUTPUTS, GraphEntry
from edgeexit_runtime.timing import LatencySummary, summarize, time_call
from numpy.typing import NDArray

from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.timing.interleave import Progress, Turn, take_turns
from edgeexit.export.graphs.flow import GraphFlow
from edgeexit.export.graphs.making import Graph


@dataclass(frozen=True, slots=True)
class PartChange:
    """One part at batch size 1. ``ratio`` is of the medians, after over before."""

    name: str
    bytes_before: int
    bytes_after: int
    before: LatencySummary
    after: LatencySummary
    ratio: float


def time_graphs(
    before: Sequence[Graph],
    after: Sequence[Graph],
    image: NDArray[np.float32],
    options: BenchOptions,
    progress: Progress = lambda step, done: None,
) -> tuple[PartChange, ...]:
    """Time every part in both forms, on what really flows into it for ``image`` (1, C, H, W)."""
    turns = [
        turn
        for form, graphs in (("before", before), ("after", after))
        for turn in _turns(form, graphs, image, options)
    ]
    times = take_turns(turns, options, progress)
    return tuple(
        _change(
            old,
            new,
            summarize(np.array(times[f"before {old.name}"])),
            summarize(np.array(times[f"after {new.name}"])),
        )
        for old, new in zip(before, after, strict=True)
    )


def _change(old: Graph, new: Graph, before: LatencySummary, after: LatencySummary) -> PartChange:
    sizes = len(old.content), len(new.content)
    return PartChange(old.name, *sizes, before, after, after.p50_ms / before.p50_ms)


def _turns(
    form: str, graphs: Sequence[Graph], image: NDArray[np.float32], options: BenchOptions
) -> list[Turn]:
    dtypes = {info.dtype for graph in graphs for info in (*graph.inputs, *graph.outputs)}
    opener = SessionOpener(
        None, options.providers, options.threads, half_scales="float16" in dtypes
    )
    feeds = {name: inputs for name, inputs, _ in GraphFlow(graphs).run(image)}
    turns = []
    for graph in graphs:
        gated = graph.outputs[0].name == GATE_OUTPUTS[0]
        entry = GraphEntry(
            f"{graph.name}.onnx", "", len(graph.content), graph.inputs, graph.outputs
        )
        session = opener.open_graph(entry, graph.content, gated=gated)
        inputs: dict[str, Any] = dict(feeds[graph.name])
        if gated:
            inputs["threshold"] = np.zeros(1, np.float32)
        turns.append(_turn(f"{form} {graph.name}", session, inputs))
    return turns


def _turn(name: str, session: Any, inputs: Mapping[str, Any]) -> Turn:
    def call() -> tuple[float, ...]:
        milliseconds, _ = time_call(lambda: session.run(None, inputs), lambda: None)
        return (milliseconds,)

    return Turn(name, lambda: None, call)
