"""Split a traced model that has exits of its own into stages and its own branches.

:mod:`edgeexit.exit_steps` decides which nodes belong to which.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, fx

from edgeexit import exit_steps
from edgeexit.errors import SpecError
from edgeexit.exit_steps import Nodes, Step
from edgeexit.models.backbone import IMAGES, Backbone, Stage
from edgeexit.models.multi_exit import Branch
from edgeexit.models.spec import FINAL, OWN, ExitSpec
from edgeexit.models.tracing.checks import described
from edgeexit.models.tracing.cuts.segments import Segment, inputs_of, traced_bodies
from edgeexit.models.tracing.flow import Flow, is_batched
from edgeexit.models.tracing.trace import Trace, Traces

LOGITS = "logits"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The parts of a model as a network of stages and branches."""

    backbone: Backbone
    branches: dict[str, Branch]
    exits: tuple[ExitSpec, ...]


def split(traces: Traces) -> Split:
    """Return the stages, branches and exits of a model that was traced to all its logits.

    The parts share the weights of the model.

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
    bodies = traced_bodies(traces, training, evaluation)
    names = _exit_names(len(traces.evaluation.outputs))
    stages = {
        name: Stage(bodies[name], tuple(segment.inputs), tuple(segment.outputs))
        for name, segment in evaluation.items()
        if name not in names
    }
    branches = {name: Branch(bodies[name], tuple(evaluation[name].inputs)) for name in names}
    final = branches.pop(FINAL)
    exits = tuple(
        ExitSpec(name, _last_stage(number, stages), OWN)
        for number, name in enumerate(branches, start=1)
    )
    backbone = Backbone(
        stages, final.module, [exit_.stage for exit_ in exits], classifier_inputs=final.inputs
    )
    return Split(backbone, branches, exits)


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


def _last_stage(number: int, stages: dict[str, Stage]) -> str:
    aside = f"stage{number}_aside"
    return aside if aside in stages else f"stage{number}"


def _segments(trace: Trace) -> dict[str, Segment]:
    """Return every stage and every exit's branch by name, in execution order."""
    flow = Flow(trace)
    path = flow.path
    steps = _steps(flow)
    if not all(step.adds_stage for step in steps):
        raise SpecError("an exit adds no stage to those before it; give the outputs in order")
    (images,) = (node for node in flow.nodes if node.op == "placeholder")
    names = {images: IMAGES}
    segments: dict[str, Segment] = {}
    exits = zip(_exit_names(len(steps)), trace.outputs, steps, strict=True)
    for number, (exit_name, logits, step) in enumerate(exits, start=1):
        for name, nodes in ((f"stage{number}", step.stage), (f"stage{number}_aside", step.aside)):
            if not nodes:
                continue
            executed = flow.segment(nodes)
            inputs = inputs_of(executed, names)
            outputs = _stage_outputs(flow, nodes, name)
            names.update({node: tensor for tensor, node in outputs.items()})
            segments[name] = Segment(executed, inputs, outputs, path)
        executed = flow.segment(step.branch)
        read = inputs_of(executed, names) if executed else {names[logits]: logits}
        segments[exit_name] = Segment(executed, read, {LOGITS: logits}, path)
    return segments


class _Dataflow:
    """A trace as an :class:`edgeexit.exit_steps.Dataflow`."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self.batched = self.maps = self.layers = 0
        values, macs = flow.trace.values, flow.trace.macs
        for node in flow.path:
            bit = 1 << flow.position[node]
            self.layers |= bit if macs.get(node) else 0
            if is_batched(values[node]) and node is not flow.trace.output:
                self.batched |= bit
                self.maps |= bit if _has_positions(values[node][0]) else 0

    def needed(self, node: int) -> Nodes:
        return self._flow.on_path(self._flow.needed(self._flow.nodes[node]))

    def reads(self, node: int) -> Nodes:
        position = self._flow.position
        sources = self._flow.nodes[node].all_input_nodes
        return self._flow.on_path(sum(1 << position[source] for source in sources))


def _steps(flow: Flow) -> list[Step]:
    outputs = [flow.position[node] for node in flow.trace.outputs]
    images = sum(1 << flow.position[node] for node in flow.nodes if node.op == "placeholder")
    return exit_steps.exit_steps(_Dataflow(flow), outputs, flow.on_path(images))


def _has_positions(tensor: Tensor) -> bool:
    return tensor.ndim >= 3 and tensor[0].numel() > max(tensor.shape[1:])


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
