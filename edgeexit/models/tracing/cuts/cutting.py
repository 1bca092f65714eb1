"""Cut a traced model at named points into the stages of a :class:`Backbone`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, fx
from torch.nn.modules.batchnorm import _NormBase

from edgeexit.errors import SpecError
from edgeexit.models.backbone import Backbone, Stage
from edgeexit.models.tracing.cuts.points import find_point, is_channels_last
from edgeexit.models.tracing.cuts.traced_stage import (
    Segment,
    Segments,
    TracedStage,
    traced_stages,
)
from edgeexit.models.tracing.flow import Flow, has_positions, is_batched
from edgeexit.models.tracing.trace import Trace, Traces


def cut(traces: Traces, points: Sequence[str], input_size: tuple[int, int, int]) -> Backbone:
    """Return the traced model as stages that end at ``points``, a last stage and a classifier.

    The stages share the weights of the model. The last stage ends with the last feature map; the
    pooling and linear layers behind it are the classifier.

    Raises:
        SpecError: a point does not exist, is out of order, or is crossed by a value that cannot be
            passed from one graph to another.
    """
    training = _segments(traces.training, points, input_size)
    evaluation = _segments(traces.evaluation, points, input_size)
    bodies = traced_stages(training, evaluation)
    _check_weights(bodies)
    stages = {}
    for name, segment in evaluation.items():
        permuted = [f"{name}_nchw"] if segment.permuted else []
        stages[name] = Stage(bodies[name], [*segment.inputs], [*segment.outputs, *permuted])
    classifier = stages.pop("classifier")
    return Backbone(stages, bodies["classifier"], classifier_inputs=classifier.inputs)


def _segments(
    trace: Trace, points: Sequence[str], input_size: tuple[int, int, int]
) -> dict[str, Segment]:
    flow = Flow(trace)
    ends = [find_point(flow, point) for point in points]
    _check_order(flow, points, ends)
    ends.append(_last_feature_map(flow, ends))
    segments = Segments(flow)
    done = 0
    for number, end in enumerate(ends, start=1):
        new = flow.needed(end) & ~done
        done |= new
        stage = f"stage{number}"
        permuted = number <= len(points) and is_channels_last(trace.values[end], input_size)
        outputs = _new_outputs(flow, flow.crossing(done), end, segments.names, stage)
        segments.add(stage, new, outputs, permuted)
    segments.add("classifier", flow.needed(trace.output) & ~done, {"logits": trace.output})
    return segments.made


def _check_order(flow: Flow, points: Sequence[str], ends: Sequence[fx.Node]) -> None:
    pairs = list(zip(points, ends, strict=True))
    for number, (point, end) in enumerate(pairs):
        for later, later_end in pairs[number + 1 :]:
            if flow.before(later_end, end):
                where = "the same place as" if end is later_end else "behind"
                raise SpecError(
                    f"exits at {', '.join(points)}: {point} is {where} {later}; give different "
                    "points in the order of execution"
                )


def _last_feature_map(flow: Flow, ends: Sequence[fx.Node]) -> fx.Node:
    """Return the last tensor with several positions that is the only one to cross its cut.

    If there is none, return the last such tensor of any shape before the logits. If several tensors
    run in parallel up to the logits, return the last one with several positions; the classifier
    then reads the others, too.
    """
    trace = flow.trace
    last = ends[-1] if ends else None
    nearest: fx.Node | None = None
    beside: fx.Node | None = None
    for node in reversed(flow.members(flow.needed(trace.output))):
        if node in (flow.images, trace.output, last):
            continue
        if last is not None and not flow.before(last, node):
            continue
        if not is_batched(trace.values[node]):
            continue
        if flow.crossing(flow.needed(node)) != [node]:
            beside = beside or (node if has_positions(trace.values[node][0]) else None)
            continue
        if has_positions(trace.values[node][0]):
            return node
        nearest = nearest or node
    nearest = nearest or beside
    if nearest is None:
        raise SpecError(
            "the last exit is too close to the logits: nothing is left for the last stage; choose "
            "an earlier point"
        )
    return nearest


def _new_outputs(
    flow: Flow, crossing: list[fx.Node], end: fx.Node, names: Mapping[fx.Node, str], stage: str
) -> dict[str, fx.Node]:
    """Return the outputs of a stage by name; the last is the one that a branch reads."""
    others = [node for node in crossing if node not in names and node is not end]
    for node in (*others, end):
        value = flow.trace.values[node]
        if not is_batched(value):
            shape = tuple(value[0].shape)
            raise SpecError(
                f"cut at the end of {stage}: {node.name}, of shape {shape} for a batch of 2, "
                "crosses it and its first dimension is not the batch; choose another point"
            )
    named = {f"{stage}_out{number}": node for number, node in enumerate(others, start=2)}
    return {**named, f"{stage}_out": end}


def _check_weights(bodies: dict[str, TracedStage]) -> None:
    """Raise if stages share weights that training changes; tables and masks may be shared."""
    owner: dict[int, str] = {}
    for stage, body in bodies.items():
        for name, weight in (*body.named_parameters(), *_statistics(body)):
            if owner.setdefault(id(weight), stage) != stage:
                raise SpecError(
                    f"the weight {name} is used by {owner[id(weight)]} and by {stage}: parts that "
                    "run separately cannot share it; choose other points"
                )


def _statistics(body: TracedStage) -> list[tuple[str, Tensor]]:
    """Return the buffers of normalization layers by name."""
    return [
        (f"{path}.{name}", buffer)
        for path, module in body.named_modules()
        if isinstance(module, _NormBase)
        for name, buffer in module.named_buffers(recurse=False)
    ]
