"""Trace any classifier to a graph with torch.fx or, if that fails, with torch.export.

torch.fx keeps the model's own modules but cannot follow control flow that depends on values or
sizes; torch.export follows sizes. Layers such as dropout differ between training and evaluation,
so each mode is traced separately.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.flop_counter import FlopCounterMode

from edgeexit.errors import SpecError
from edgeexit.models.mode import in_mode, plain_attention, shapes_alone
from edgeexit.models.tracing.checks import (
    EVERY_EXIT,
    are_logits,
    check_kind,
    check_model,
    unchanged,
)
from edgeexit.models.tracing.in_place import check_updates, follow_overwritten
from edgeexit.models.tracing.logits import in_front_of_softmax, out_of_stack
from edgeexit.models.tracing.results import giving
from edgeexit.models.tracing.tracers import (
    BATCHES,
    CONSTANT,
    Tracer,
    exported_graph,
    first_device,
    symbolic_graph,
)
from edgeexit.models.tracing.user_code import RAISED, failure


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A model in one mode, as a graph from its only placeholder, the images, to its logits.

    Attributes:
        root: owns the modules and tensors that the nodes refer to.
        graph: the computation.
        outputs: the nodes of the logits: one, or one for each exit of the model.
        softmaxed: for each output, whether the model returns its softmax.
        points: the node that each module returned, by the module's path, in execution order; the
            second result of a module that is called twice has ``@2`` after the path.
        values: the value of each node for both of :data:`BATCHES`; tensors are fake.
        macs: multiply-accumulates of each node, per image.
    """

    root: nn.Module
    graph: fx.Graph
    outputs: tuple[fx.Node, ...]
    softmaxed: tuple[bool, ...]
    points: Mapping[str, fx.Node]
    values: Mapping[fx.Node, tuple[Any, Any]]
    macs: Mapping[fx.Node, int]

    @property
    def output(self) -> fx.Node:
        """The node of the last exit's logits."""
        return self.outputs[-1]


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """A model in both modes."""

    training: Trace
    evaluation: Trace


def trace(
    model: nn.Module, input_size: tuple[int, int, int], outputs: Sequence[str] = ()
) -> Traces:
    """Trace a classifier that maps images ``(N, C, H, W)`` to logits ``(N, K)``.

    Nothing is computed and the model is not changed.

    Args:
        model: the classifier.
        input_size: ``(channels, height, width)``.
        outputs: the paths of its exits' logits in its result; empty for a model that returns one
            tensor.

    Raises:
        SpecError: the model cannot read images of that size, does not return one tensor of
            logits, or neither tracer can trace it; the message names the line of code.
    """
    check_kind(model)
    with giving(model, outputs) if outputs else nullcontext():
        return _trace(model, input_size, outputs)


def _trace(model: nn.Module, input_size: tuple[int, int, int], outputs: Sequence[str]) -> Traces:
    try:
        return _trace_modes(symbolic_graph, model, input_size, outputs)
    except SpecError:
        raise
    except RAISED as fx_error:
        reason = failure(fx_error)
    for training in (True, False):  # errors of the model itself are reported first
        check_model(model, input_size, training, outputs)
    try:
        return _trace_modes(exported_graph, model, input_size, outputs)
    except SpecError:
        raise
    except RAISED as export_error:
        raise SpecError(
            f"{type(model).__name__} cannot be traced, so it cannot be cut: torch.fx stops at "
            f"{reason}; torch.export at {failure(export_error)}; rewrite that part so that it "
            "depends neither on the images' values nor on len(images), for which there is shape[0]"
            f"{EVERY_EXIT if outputs else ''}"
        ) from export_error


def _trace_modes(
    tracer: Tracer, model: nn.Module, input_size: tuple[int, int, int], outputs: Sequence[str]
) -> Traces:
    traces: list[Trace] = []
    for training in (False, True):
        with (
            in_mode(model, training),
            unchanged(model),
            torch.no_grad(),  # else torch.export wraps regions without gradients
            plain_attention(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # the tracers warn about their internals
            root, graph, points = tracer(model, input_size)
            follow_overwritten(root, graph)
            if traces and _are_same(graph, traces[0].graph):
                return Traces(traces[0], traces[0])
            values, macs = _propagate(root, graph, input_size)
            check_updates(graph)
            returned = _outputs(graph, values, outputs)
            logits = tuple(in_front_of_softmax(root, node, values) for node in returned)
            softmaxed = tuple(a is not b for a, b in zip(returned, logits, strict=True))
            traces.append(Trace(root, graph, logits, softmaxed, points, values, macs))
    evaluation, train = traces
    return Traces(train, evaluation)


def _are_same(graph: fx.Graph, other: fx.Graph) -> bool:
    """Whether two graphs have the same code and no constants, which may depend on the mode."""
    code = graph.python_code("self").src
    return CONSTANT not in code and code == other.python_code("self").src


class _Propagation(fx.Interpreter):
    """Runs a graph on fake tensors and records the value and cost of every node."""

    def __init__(self, root: nn.Module, graph: fx.Graph) -> None:
        super().__init__(root, garbage_collect_values=False, graph=graph)
        self.counter = FlopCounterMode(display=False)
        self.macs: dict[fx.Node, int] = {}

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args and isinstance(self.fetch_attr(target), _NormBase):
            # decomposed in Python for fake tensors, it would take most of the time
            return torch.empty_like(args[0])
        return super().call_module(target, args, kwargs)

    def run_node(self, n: fx.Node) -> Any:
        before = self.counter.get_total_flops()
        result = super().run_node(n)
        self.macs[n] = int(self.counter.get_total_flops() - before) // 2 // BATCHES[0]
        return result


def _propagate(
    root: nn.Module, graph: fx.Graph, input_size: tuple[int, int, int]
) -> tuple[dict[fx.Node, tuple[Any, Any]], dict[fx.Node, int]]:
    runs = []
    for batch in BATCHES:
        propagation = _Propagation(root, graph)
        with plain_attention(), shapes_alone(), torch.no_grad(), propagation.counter:
            propagation.run(torch.empty(batch, *input_size, device=first_device(root)))
        runs.append(propagation)
    first, second = runs
    values = {node: (first.env[node], second.env[node]) for node in first.env}
    return values, first.macs


def _outputs(
    graph: fx.Graph, values: Mapping[fx.Node, tuple[Any, Any]], outputs: Sequence[str]
) -> tuple[fx.Node, ...]:
    results: Any = graph.output_node().args[0]
    nodes = results if isinstance(results, (tuple, list)) else (results,)
    if len(nodes) != max(1, len(outputs)):
        raise ValueError("the output is not one tensor")
    for node in nodes:
        if not isinstance(node, fx.Node) or not all(map(are_logits, values[node], BATCHES)):
            raise ValueError("the output is not logits (N, K)")
    return tuple(map(out_of_stack, nodes, outputs)) if outputs else tuple(nodes)
