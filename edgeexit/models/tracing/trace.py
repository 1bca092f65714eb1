"""What any classifier computes, as a graph: traced by torch.fx, or else by torch.export.

torch.fx keeps the model's own modules but follows no control flow that depends on values or
sizes; torch.export follows the latter. Layers such as dropout differ in training and evaluation,
so each mode is traced by itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy
from torch.utils.flop_counter import FlopCounterMode

from edgeexit.errors import SpecError
from edgeexit.models.mode import in_mode, plain_attention, shapes_alone
from edgeexit.models.tracing.in_place import check_updates, follow_overwritten
from edgeexit.models.tracing.tracers import (
    BATCHES,
    CONSTANT,
    Tracer,
    exported_graph,
    first_device,
    symbolic_graph,
)
from edgeexit.models.tracing.user_code import RAISED, explained, failure

__all__ = ["Trace", "Traces", "trace"]

SHOWN = 3  # names in a message


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A model in one mode, as a graph from one placeholder, the images, to one output.

    Attributes:
        root: owns the modules and tensors that the nodes name.
        graph: what is computed.
        output: the node of the logits.
        points: what each module returned by the module's path, in the order of execution; the
            second result of a module that is called twice has ``@2`` behind the path.
        values: what each node holds for either of :data:`BATCHES`; tensors are fake.
        macs: multiply-accumulates of each node, per image.
    """

    root: nn.Module
    graph: fx.Graph
    output: fx.Node
    points: Mapping[str, fx.Node]
    values: Mapping[fx.Node, tuple[Any, Any]]
    macs: Mapping[fx.Node, int]


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """A model in both modes."""

    training: Trace
    evaluation: Trace


def trace(model: nn.Module, input_size: tuple[int, int, int]) -> Traces:
    """Trace a classifier that maps images ``(N, C, H, W)`` to logits ``(N, K)``.

    Nothing is computed and the model is not changed.

    Raises:
        SpecError: it cannot read images of that size, gives something else than one tensor of
            logits, or can be traced by neither tracer; the message names the place.
    """
    name = type(model).__name__
    with explained(f"{name} cannot be looked at:"):
        _check_kind(model, name)
    try:
        return _trace_modes(symbolic_graph, model, input_size)
    except SpecError:
        raise
    except RAISED as fx_error:
        reason = failure(fx_error)
    for training in (True, False):  # what is wrong with the model itself is told first
        _check_model(model, name, input_size, training)
    try:
        return _trace_modes(exported_graph, model, input_size)
    except SpecError:
        raise
    except RAISED as export_error:
        raise SpecError(
            f"{name} cannot be traced, so it cannot be cut: torch.fx stops at {reason}; "
            f"torch.export at {failure(export_error)}; rewrite that part so that it "
            "depends neither on the images' values nor on len(images), for which there is shape[0]"
        ) from export_error


def _trace_modes(tracer: Tracer, model: nn.Module, input_size: tuple[int, int, int]) -> Traces:
    traces: list[Trace] = []
    for training in (False, True):
        with in_mode(model, training), _unchanged(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracers speak of their own insides
            root, graph, points = tracer(model, input_size)
            follow_overwritten(root, graph)
            if traces and _are_same(graph, traces[0].graph):
                return Traces(traces[0], traces[0])
            values, macs = _propagate(root, graph, input_size)
            check_updates(graph)
            traces.append(Trace(root, graph, _output(graph, values), points, values, macs))
    evaluation, train = traces
    return Traces(train, evaluation)


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Give a model back what tracing changes: values of buffers, and attributes set in forward."""
    values = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    attributes = [(m, dict(vars(m)), dict(m._buffers)) for m in model.modules()]
    try:
        yield
    finally:
        for module, kept, buffers in attributes:
            vars(module).clear()
            vars(module).update(kept)
            module._buffers.clear()
            module._buffers.update(buffers)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)


def _are_same(graph: fx.Graph, other: fx.Graph) -> bool:
    """Whether two graphs compute the same; constants made while tracing may differ by the mode."""
    code = graph.python_code("self").src
    return CONSTANT not in code and code == other.python_code("self").src


class _Propagation(fx.Interpreter):
    """Runs a graph on fake tensors and keeps what every node gave, and its cost."""

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


def _check_kind(model: nn.Module, name: str) -> None:
    """Refuse what hides a model from the tracers or crashes in them, and weights in FP16."""
    lazy = [
        weight_name
        for weight_name, weight in (*model.named_parameters(), *model.named_buffers())
        if is_lazy(weight)
    ]
    if lazy:
        raise SpecError(
            f"{name}: {', '.join(lazy[:SHOWN])} of lazy layers have no size yet; give the layers "
            "their sizes, or let the factory run the model once on images of zeros"
        )
    instead = None
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        instead = "its .module"
    elif isinstance(model, torch.jit.ScriptModule):
        instead = "the module that was scripted"
    elif hasattr(model, "_orig_mod"):
        instead = "the model before torch.compile"
    if instead is not None:
        raise SpecError(f"{name} cannot be cut: expected a plain model, give {instead}")
    dtypes = {weight.dtype for weight in model.parameters()} - {torch.float32}
    if dtypes:
        found = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
        raise SpecError(f"{name}: expected weights in float32, got {found}; call model.float()")


def _check_model(
    model: nn.Module, name: str, input_size: tuple[int, int, int], training: bool
) -> None:
    for batch in BATCHES:
        with (
            explained(
                f"{name} cannot be run on {batch} images of {input_size} without their values:",
                "; check input_size, and that no step depends on the images' values or number",
            ),
            in_mode(model, training),
            _unchanged(model),
            shapes_alone(),
            torch.no_grad(),
        ):
            result = model(torch.empty(batch, *input_size, device=first_device(model)))
        if not _are_logits(result, batch):
            mode = "training" if training else "evaluation"
            raise SpecError(
                f"{name} in {mode} mode: expected one tensor of logits (N, K) for N images, got "
                f"{_described(result)} for {batch}; turn auxiliary outputs off, or wrap the model "
                "in one that returns the logits of every image"
            )


def _output(graph: fx.Graph, values: Mapping[fx.Node, tuple[Any, Any]]) -> fx.Node:
    (output,) = (node for node in graph.nodes if node.op == "output")
    result = output.args[0]
    if isinstance(result, (tuple, list)) and len(result) == 1:  # torch.export's graphs do so
        (result,) = result
    if not isinstance(result, fx.Node) or not all(map(_are_logits, values[result], BATCHES)):
        raise ValueError("the output is not one tensor of logits (N, K)")
    return result


def _are_logits(value: Any, batch: int) -> bool:
    return (
        isinstance(value, Tensor)
        and value.ndim == 2
        and len(value) == batch
        and value.dtype.is_floating_point
    )


def _described(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
