"""Attach exits to any classifier that can be traced, without rewriting it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from edgeexit.errors import SpecError
from edgeexit.models.agreement import check_agreement
from edgeexit.models.backbone import IMAGES
from edgeexit.models.mode import evaluating
from edgeexit.models.multi_exit import MultiExitNet, pattern_tokens
from edgeexit.models.spec import ModelSpec, exit_specs
from edgeexit.models.tracing.cuts.cutting import cut
from edgeexit.models.tracing.cuts.points import Point, list_points, propose_points
from edgeexit.models.tracing.trace import Traces, trace

AUTO = "auto"
LOGITS = "logits"
CHECK_BATCH = 3


def attach_exits(
    model: nn.Module,
    exits: Mapping[str, str] | Sequence[str] | str = AUTO,
    *,
    branches: str,
    input_size: tuple[int, int, int],
    num_classes: int | None = None,
    name: str | None = None,
) -> MultiExitNet:
    """Return a multi-exit network made from ``model``, with a branch at each of the named points.

    The model is traced and cut at the ends of the modules named in ``exits``. The trace determines
    which tensors cross a cut, one or several. The result shares the model's weights. In evaluation
    mode its chained stages are compared with the model on random images.

    Args:
        model: maps images ``(N, C, H, W)`` to logits ``(N, K)``.
        exits: the path of a module (``layer2``, ``features.denseblock1``) for each exit in order,
            as a mapping by exit name or as a sequence; ``auto`` chooses the points before the
            resolution changes.
        branches: a branching pattern with one token per exit, such as ``3+1``.
        input_size: ``(channels, height, width)`` of the images.
        num_classes: K, checked against the model's logits; by default, taken from them.
        name: the model's name in the specification, ``package.module:factory``; by default, its
            class.

    Raises:
        SpecError: the model cannot be traced, a point does not exist, the model cannot be cut
            there, or the branches do not fit; the message says what is possible.

    Example:
        >>> import torchvision
        >>> model = torchvision.models.mobilenet_v3_small(num_classes=10)
        >>> net = attach_exits(
        ...     model, ["features.1", "features.3"], branches="2+1", input_size=(3, 64, 64)
        ... )
        >>> list(net(torch.zeros(2, 3, 64, 64)))
        ['exit1', 'exit2', 'final']
    """
    traces = trace(model, input_size)
    classes = count_classes(traces, num_classes)
    tokens = pattern_tokens(branches)
    places = _points(traces, exits, tokens, input_size)
    stages = [f"stage{number}" for number in range(1, len(places) + 1)]
    spec = ModelSpec(
        name or class_name(model), classes, input_size, exit_specs(stages, tokens), places
    )
    return _build(model, traces, spec)


def attach_spec(model: nn.Module, spec: ModelSpec) -> MultiExitNet:
    """Attach the exits of ``spec`` to ``model``, as :func:`attach_exits` did when it made ``spec``.

    Raises:
        SpecError: the model is not the one that the specification was made for.
    """
    traces = trace(model, spec.input_size)
    count_classes(traces, spec.num_classes)
    return _build(model, traces, spec)


def inspect_points(model: nn.Module, input_size: tuple[int, int, int]) -> list[Point]:
    """Return the points at which ``model`` can be cut, in execution order.

    Raises:
        SpecError: the model cannot be traced.
    """
    return list_points(trace(model, input_size).evaluation, input_size)


def _points(
    traces: Traces,
    exits: Mapping[str, str] | Sequence[str] | str,
    tokens: Sequence[str],
    input_size: tuple[int, int, int],
) -> tuple[str, ...]:
    if exits == AUTO:
        proposed = propose_points(list_points(traces.evaluation, input_size), input_size)
        points = tuple(point.name for point in proposed) if tokens else ()
    elif isinstance(exits, str):
        points = tuple(point.strip() for point in exits.split(","))
    elif isinstance(exits, Mapping):
        expected = [f"exit{number}" for number in range(1, len(exits) + 1)]
        if list(exits) != expected:
            raise SpecError(
                f"exits: expected the names {', '.join(expected)} in this order, got "
                f"{', '.join(exits)}"
            )
        points = tuple(exits.values())
    else:
        points = tuple(exits)
    if len(points) != len(tokens):
        raise SpecError(
            f"branches {'+'.join(tokens) or 'none'}: expected one for each of the {len(points)} "
            f"points ({', '.join(points)}), got {len(tokens)}"
        )
    return points


def class_name(model: nn.Module) -> str:
    """Return the name of a model's class, as a specification has it: ``package.module:class``."""
    return f"{type(model).__module__}:{type(model).__qualname__}"


def count_classes(traces: Traces, expected: int | None) -> int:
    """Return the number of classes of a model.

    Raises:
        SpecError: it is not the ``expected`` one, or below 2.
    """
    evaluation = traces.evaluation
    classes = int(evaluation.values[evaluation.output][0].shape[1])
    if expected is not None and classes != expected:
        raise SpecError(
            f"expected a model with logits of {expected} classes, got {classes}; build it with "
            "that many"
        )
    if classes < 2:
        raise SpecError(f"expected a model with logits of 2 or more classes, got {classes}")
    return classes


def _build(model: nn.Module, traces: Traces, spec: ModelSpec) -> MultiExitNet:
    backbone = cut(traces, spec.points, spec.input_size)
    (softmaxed,) = traces.evaluation.softmaxed
    where = f"cut at {', '.join(spec.points) or 'the end'}"

    def chained(images: Tensor) -> dict[str, Tensor]:
        features = {IMAGES: images}
        written = {IMAGES: images.clone()}
        for _, stage in backbone.named_stages():
            stage.apply_to(features)
            written.update({name: features[name].clone() for name in stage.outputs})
        logits = backbone.classify(features)
        changed = [name for name in written if not torch.equal(written[name], features[name])]
        if changed:
            raise SpecError(
                f"{where}: a later part overwrites {', '.join(changed)}, which branches read; cut "
                "behind the module that works in place"
            )
        return {LOGITS: logits}

    with evaluating(model), evaluating(backbone), torch.no_grad():
        notes = check_agreement(
            model,
            lambda images: {LOGITS: model(images)},
            chained,
            spec,
            softmaxed=[LOGITS] if softmaxed else [],
            batches=[CHECK_BATCH],
            where=where,
            advice="choose other points",
        )
    if softmaxed:
        notes = ("it ends in a softmax: the logits in front of it are taken", *notes)
    net = MultiExitNet(spec, backbone).train(model.training)
    net.notes = notes
    return net
