"""Split a traced model that has exits of its own into stages and the branches that it came with.

With the logits of M exits in the order of execution, stage k is what exit k and a later one need
and is not computed yet; branch k is what exit k alone needs of the rest. The last exit's branch is
what lies behind its last feature map.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, fx

from edgeexit.errors import SpecError
from edgeexit.models.backbone import IMAGES, Backbone, Stage
from edgeexit.models.multi_exit import Branch
from edgeexit.models.spec import FINAL, OWN, ExitSpec
from edgeexit.models.tracing.checks import described
from edgeexit.models.tracing.cuts.segments import Segment, inputs_of, traced_bodies
from edgeexit.models.tracing.flow import Flow, Nodes, is_batched
from edgeexit.models.tracing.trace import Trace, Traces

LOGITS = "logits"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A model in parts: what it is to a network of stages and branches."""

    backbone: Backbone
    branches: dict[str, Branch]
    exits: tuple[ExitSpec, ...]


@dataclass(frozen=True, slots=True)
class _Step:
    """What an exit adds to those before it, as sets of nodes.

    Attributes:
        stage: what the final exit needs, too.
        aside: what other exits need and the final one does not.
        branch: what it needs alone.
    """

    stage: Nodes
    aside: Nodes
    branch: Nodes


def split(traces: Traces) -> Split:
    """Return the stages, the branches and the exits of a model that was traced to all its logits.

    The parts share the weights of the model.

    Raises:
        SpecError: an exit adds no stage, or a part reads what cannot be handed from one graph to
            another.
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
    """Return the numbers of the outputs that read only what those before them have computed."""
    return [number for number, step in enumerate(_steps(Flow(trace))) if not _adds(step)]


def probable_orders(trace: Trace) -> list[list[int]]:
    """Return the numbers of the outputs in orders that are worth trying, the best first.

    One goes by their depth, one by the depth at which they leave what they share. What exits cost
    is no sign: a branch may cost more than all that is behind it.
    """
    flow = Flow(trace)
    needs = [flow.on_path(flow.needed(node)) for node in trace.outputs]
    own = [flow.depth(nodes) for nodes in needs]
    shared = []
    for number, nodes in enumerate(needs):
        others = 0
        for other, read in enumerate(needs):
            others |= read if other != number else 0
        shared.append(flow.depth(nodes & others))
    numbers = range(len(needs))
    by_depth = sorted(numbers, key=lambda number: own[number])
    return [by_depth, sorted(numbers, key=lambda number: (shared[number], own[number]))]


def _exit_names(count: int) -> list[str]:
    return [*(f"exit{number}" for number in range(1, count)), FINAL]


def _last_stage(number: int, stages: dict[str, Stage]) -> str:
    aside = f"stage{number}_aside"
    return aside if aside in stages else f"stage{number}"


def _adds(step: _Step) -> bool:
    return bool(step.stage | step.aside)


def _segments(trace: Trace) -> dict[str, Segment]:
    """Return every stage and every exit's branch by name, in the order of execution."""
    flow = Flow(trace)
    path = flow.path
    steps = _steps(flow)
    if not all(map(_adds, steps)):
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
            outputs = _handed_on(flow, nodes, name)
            names.update({node: tensor for tensor, node in outputs.items()})
            segments[name] = Segment(executed, inputs, outputs, path)
        executed = flow.segment(step.branch)
        read = inputs_of(executed, names) if executed else {names[logits]: logits}
        segments[exit_name] = Segment(executed, read, {LOGITS: logits}, path)
    return segments


def _steps(flow: Flow) -> list[_Step]:
    outputs = flow.trace.outputs
    needs = [flow.on_path(flow.needed(node)) for node in outputs]
    done = flow.on_path(sum(1 << flow.position[n] for n in flow.nodes if n.op == "placeholder"))
    steps = []
    for number, own in enumerate(needs):
        later = 0
        for nodes in needs[number + 1 :]:
            later |= nodes
        new = own & ~done
        shared = new & later if number < len(needs) - 1 else _up_to_last_map(flow, new, done)
        steps.append(_Step(shared & needs[-1], shared & ~needs[-1], new & ~shared))
        done |= shared
    return steps


def _up_to_last_map(flow: Flow, new: Nodes, done: Nodes) -> Nodes:
    """Return what the last exit computes up to its last tensor with positions.

    Behind it, the logits are computed from this tensor and from those of earlier stages alone.
    Without one, it is the last tensor before the logits, or else all there is.
    """
    trace = flow.trace
    nearest = None
    for node in reversed(flow.members(new)):
        if node is trace.output or not is_batched(trace.values[node]):
            continue
        before = flow.needed(node) & new
        known = before | done
        read = {s for n in flow.members(new & ~before) for s in n.all_input_nodes}
        crossing = [s for s in flow.members(known) if s in read and s is not node]
        if any(not done >> flow.position[s] & 1 for s in crossing):
            continue
        if _has_positions(trace.values[node][0]):
            return before
        nearest = nearest or before
    return nearest or new


def _has_positions(tensor: Tensor) -> bool:
    return tensor.ndim >= 3 and tensor[0].numel() > max(tensor.shape[1:])


def _handed_on(flow: Flow, nodes: Nodes, name: str) -> dict[str, fx.Node]:
    """Return what other parts read of a stage by new names, in the order of execution."""
    trace = flow.trace
    handed = []
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
        handed.append(node)
    return {
        f"{name}_out{'' if number == 1 else number}": node
        for number, node in enumerate(handed, start=1)
    }
