"""Segments of a traced model: their nodes, inputs and outputs in either mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx

from edgeexit.errors import SpecError
from edgeexit.models.tracing.cuts.traced_stage import StageGraph, TracedStage
from edgeexit.models.tracing.trace import Trace, Traces


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A segment of a trace: its nodes, and its inputs and outputs by their new names."""

    nodes: list[fx.Node]
    inputs: dict[str, fx.Node]
    outputs: dict[str, fx.Node]
    path: frozenset[fx.Node]
    channels_last: str | None = None


def inputs_of(nodes: Sequence[fx.Node], names: Mapping[fx.Node, str]) -> dict[str, fx.Node]:
    """Return the tensors of earlier stages that ``nodes`` read, by name."""
    own = set(nodes)
    read = {
        source: None
        for node in nodes
        for source in node.all_input_nodes
        if source not in own and source in names
    }
    return {names[node]: node for node in names if node in read}


def traced_bodies(
    traces: Traces, training: Mapping[str, Segment], evaluation: Mapping[str, Segment]
) -> dict[str, TracedStage]:
    """Return a module for each segment that shares the weights of the model.

    Raises:
        SpecError: the inputs or outputs of a segment differ between training and evaluation mode.
    """
    for name, segment in training.items():
        _check_same(name, segment, traces.training, evaluation[name], traces.evaluation)
    return {
        name: TracedStage(
            _stage_graph(traces.training, segment),
            _stage_graph(traces.evaluation, evaluation[name]),
        )
        for name, segment in training.items()
    }


def _stage_graph(trace: Trace, segment: Segment) -> StageGraph:
    return StageGraph(
        trace.root,
        segment.nodes,
        segment.inputs,
        segment.outputs,
        trace.values,
        segment.path,
        permuted=segment.channels_last is not None,
    )


def _check_same(
    name: str, first: Segment, first_trace: Trace, second: Segment, second_trace: Trace
) -> None:
    """Raise if the inputs or outputs of a stage depend on the mode."""

    def shapes(tensors: dict[str, fx.Node], trace: Trace) -> dict[str, Any]:
        return {key: tuple(trace.values[node][0].shape) for key, node in tensors.items()}

    for tensors, others in ((first.inputs, second.inputs), (first.outputs, second.outputs)):
        in_training, in_evaluation = shapes(tensors, first_trace), shapes(others, second_trace)
        if in_training != in_evaluation:
            raise SpecError(
                f"the cut around {name} is crossed by {in_training} in training and by "
                f"{in_evaluation} in evaluation mode; choose another point"
            )
