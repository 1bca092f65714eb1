"""Split a traced model that has exits of its own into stages and its own branches.

:mod:`edgeexit.exit_steps` decides which nodes belong to which.
"""

from __future__ import annotations

from torch import fx

from edgeexit import exit_steps
from edgeexit.errors import SpecError
from edgeexit.exit_steps import Nodes, Step
from edgeexit.models.backbone import Backbone, Stage
from edgeexit.models.multi_exit import Branch
from edgeexit.models.spec import FINAL, OWN, ExitSpec, exit_specs
from edgeexit.models.tracing.checks import described
from edgeexit.models.tracing.cuts.traced_stage import Segment, Segments, traced_stages
from edgeexit.models.tracing.flow import Flow, has_positions, is_batched
from edgeexit.models.tracing.trace import Trace, Traces

LOGITS = "logits"


def split(traces: Traces) -> tuple[Backbone, dict[str, Branch], tuple[ExitSpec, ...]]:
    """Return the stages, branches and exits of a model that was traced to all its logits.

    The parts share the weights of the model. The branches have the names of the exits.

    Raises:
        SpecError: an exit adds no stage, or a part reads a value that cannot be passed from one
            graph to another.
    """
    training, evaluation = _segments(traces.training), _segments(traces.evaluation)
    if training.keys() != evaluation.keys():
        raise SpecError(
            "the exits share other parts in training than in evaluation mode; give a model that "
            "computes the same in both, but for dropout and batch norm"
        )
    bodies = traced_stages(training, evaluation)
    names = _exit_names(len(traces.evaluation.outputs))
    stages = {
        name: Stage(bodies[name], [*segment.inputs], [*segment.outputs])
        for name, segment in evaluation.items()
        if name not in names
    }
    branches = {name: Branch(bodies[name], tuple(evaluation[name].inputs)) for name in names}
    final = branches.pop(FINAL)
    asides = [f"stage{number}_aside" for number in range(1, len(names))]
    last = [aside if aside in stages else aside.removesuffix("_aside") for aside in asides]
    backbone = Backbone(stages, final.module, last, classifier_inputs=final.inputs)
    return backbone, branches, exit_specs(last, [OWN] * len(last))


def idle_exits(trace: Trace) -> list[int]:
    """Return the numbers of the outputs that need no stage beyond those of earlier outputs."""
    return [number for number, step in enumerate(_steps(Flow(trace))) if not step.adds_stage]


def probable_orders(trace: Trace) -> list[list[int]]:
    """Return orders of the outputs, by number, that are worth trying, the most probable first."""
    flow = Flow(trace)
    outputs = [flow.position[node] for node in trace.outputs]
    return exit_steps.probable_orders(_Dataflow(flow), outputs)


def _exit_names(count: int) -> list[str]:
    return [*(f"exit{number}" for number in range(1, count)), FINAL]


def _segments(trace: Trace) -> dict[str, Segment]:
    """Return every stage and every exit's branch by name, in execution order."""
    flow = Flow(trace)
    steps = _steps(flow)
    if not all(step.adds_stage for step in steps):
        raise SpecError("an exit adds no stage to those before it; give the outputs in order")
    segments = Segments(flow)
    exits = zip(_exit_names(len(steps)), trace.outputs, steps, strict=True)
    for number, (exit_name, logits, step) in enumerate(exits, start=1):
        for name, nodes in ((f"stage{number}", step.stage), (f"stage{number}_aside", step.aside)):
            if nodes:
                segments.add(name, nodes, _stage_outputs(flow, nodes, name))
        segments.add(exit_name, step.branch, {LOGITS: logits})
    return segments.made


class _Dataflow:
    """A trace as an :class:`edgeexit.exit_steps.Dataflow`."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        values, macs = flow.trace.values, flow.trace.macs
        nodes = flow.members(flow.path)
        batched = [n for n in nodes if is_batched(values[n]) and n is not flow.trace.output]
        self.batched = flow.set_of(batched)
        self.maps = flow.set_of(node for node in batched if has_positions(values[node][0]))
        self.layers = flow.set_of(node for node in nodes if macs.get(node))

    def needed(self, node: int) -> Nodes:
        return self._flow.needed(self._flow.nodes[node]) & self._flow.path

    def reads(self, node: int) -> Nodes:
        return self._flow.set_of(self._flow.nodes[node].all_input_nodes) & self._flow.path


def _steps(flow: Flow) -> list[Step]:
    outputs = [flow.position[node] for node in flow.trace.outputs]
    images = flow.set_of([flow.images]) & flow.path
    return exit_steps.exit_steps(_Dataflow(flow), outputs, images)


def _stage_outputs(flow: Flow, nodes: Nodes, name: str) -> dict[str, fx.Node]:
    """Return the tensors of a stage that other parts read, by new names, in execution order."""
    trace = flow.trace
    outputs = []
    for node in flow.members(nodes):
        read_elsewhere = flow.readers(node) & ~nodes or node in trace.outputs
        if not read_elsewhere:
            continue
        value = trace.values[node]
        if not is_batched(value) or not value[0].is_floating_point():
            raise SpecError(
                f"{node.name} crosses the end of {name} and is no tensor of floating point whose "
                f"first dimension is the batch: {described(value[0])} for a batch of 2; write "
                "the model so that it reshapes or converts it where it is read"
            )
        outputs.append(node)
    return {
        f"{name}_out{'' if number == 1 else number}": node
        for number, node in enumerate(outputs, start=1)
    }
