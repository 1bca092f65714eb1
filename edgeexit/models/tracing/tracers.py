"""Trace a model in its current mode with either tracer, and record what every module returned."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._higher_order_ops import wrap

from edgeexit.errors import SpecError

BATCHES = (2, 3)
"""Two batch sizes for which every value is propagated: dimensions that grow are the batch."""
CONSTANT = "_tensor_constant"
"""torch.fx's name prefix for tensors that a model creates while it is traced."""
CALLED = "model."  # prefix of a model's paths inside the module that calls it

Tracer = Callable[[nn.Module, tuple[int, int, int]], tuple[nn.Module, fx.Graph, dict[str, fx.Node]]]
"""Returns the owner of modules and tensors, the graph, and the node that each module returned."""


def first_device(module: nn.Module) -> torch.device:
    """Return the device of a module's first parameter, or the CPU if it has none."""
    return next((p.device for p in module.parameters()), torch.device("cpu"))


class _PointTracer(fx.Tracer):
    """Records what each module returned."""

    proxy_buffer_attributes = True  # otherwise buffers would be updated while tracing

    def __init__(self) -> None:
        super().__init__()
        self.points: dict[str, fx.Node] = {}
        self.calls: dict[str, int] = {}

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        path = self.path_of_module(m)
        result = super().call_module(m, forward, args, kwargs)
        calls = self.calls[path] = self.calls.get(path, 0) + 1
        if isinstance(result, fx.Proxy):
            self.points[path if calls == 1 else f"{path}@{calls}"] = result.node
        return result


class _ImagesAlone(nn.Module):
    """Calls a model with only the images, so that other arguments have their defaults."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Any:
        return self.model(images)


def symbolic_graph(
    model: nn.Module, input_size: tuple[int, int, int]
) -> tuple[nn.Module, fx.Graph, dict[str, fx.Node]]:
    """Trace with torch.fx, which does not trace into torch's own modules."""
    tracer, caller = _PointTracer(), _ImagesAlone(model)
    graph = tracer.trace(caller)
    result = graph.output_node().args[0]
    if not isinstance(result, fx.Node) and not (isinstance(result, tuple) and len(result) > 1):
        raise ValueError("the output is no tensor, and no tuple of some")
    root = copy.copy(model)  # shares its weights; gets the tracer's constants
    for name in vars(caller).keys() - vars(_ImagesAlone(model)).keys():
        setattr(root, name, getattr(caller, name))
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            node.target = node.target.removeprefix(CALLED)
    points = {
        path.removeprefix(CALLED): node
        for path, node in tracer.points.items()
        if path.startswith(CALLED)
    }
    return root, graph, points


def exported_graph(
    model: nn.Module, input_size: tuple[int, int, int]
) -> tuple[nn.Module, fx.Graph, dict[str, fx.Node]]:
    """Trace with torch.export, whose graph has operators instead of modules.

    A point is the last operation of a module.
    """
    example = torch.zeros(BATCHES[0], *input_size, device=first_device(model))
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(model, (example,), dynamic_shapes=({0: batch},), strict=False)
    root = program.module(check_guards=False)
    assert isinstance(root, fx.GraphModule)
    _inline_stretches(root)
    points: dict[str, fx.Node] = {}
    for node in root.graph.nodes:
        if node.op == "call_function" and node.users:
            for path, _ in node.meta.get("nn_module_stack", {}).values():
                if path:
                    points[path] = node
    order = {node: number for number, node in enumerate(root.graph.nodes)}
    return root, root.graph, dict(sorted(points.items(), key=lambda item: order[item[1]]))


def _inline_stretches(root: fx.GraphModule) -> None:
    """Inline regions that disable autocast or enable gradients into the surrounding graph.

    torch.export wraps them in subgraphs. Networks are traced outside autocast, where disabling it
    has no effect, and without gradients, which training enables everywhere anyway.

    Raises:
        SpecError: a region enables autocast; its results depend on the device.
    """
    for node in list(root.graph.nodes):
        if node.target is wrap.wrap_with_autocast:
            device, dtype, enabled, _, body, *inputs = node.args
            if enabled:
                raise SpecError(
                    f"the model computes a part under torch.autocast({device!r}, {dtype}), so it "
                    "cannot be cut: move the autocast out of forward and around the call"
                )
        elif node.target is wrap.wrap_with_set_grad_enabled:
            _, body, *inputs = node.args
        else:
            continue
        _inline(root.graph, node, root.get_submodule(str(body.target)), inputs)
        if not body.users:
            root.graph.erase_node(body)
    root.graph.lint()


def _inline(graph: fx.Graph, node: fx.Node, body: nn.Module, inputs: list[fx.Node]) -> None:
    assert isinstance(body, fx.GraphModule)
    inside = body.graph.find_nodes(op="placeholder")
    with graph.inserting_before(node):
        results = graph.graph_copy(body.graph, dict(zip(inside, inputs, strict=True)))
    for user in list(node.users):  # each selects a result by number
        assert isinstance(results, (tuple, list))
        user.replace_all_uses_with(results[user.args[1]])  # type: ignore[index]
        graph.erase_node(user)
    graph.erase_node(node)
