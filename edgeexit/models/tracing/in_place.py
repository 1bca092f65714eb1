"""Operations of a traced model that overwrite their input.

They need care because a branch or another part may read the same tensor.
"""

from __future__ import annotations

import copy
import inspect
import operator
from typing import Any

import torch
from torch import fx, nn

from edgeexit.errors import SpecError

OUT_OF_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


def is_in_place(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node overwrites its first input. ``root`` owns the modules that nodes call."""
    if not node.args or not isinstance(node.args[0], fx.Node):
        return False
    target = node.target
    if node.op == "call_module":
        return bool(getattr(root.get_submodule(str(target)), "inplace", False))
    if node.op == "call_method":
        return str(target).endswith("_") and not str(target).endswith("__")
    if isinstance(target, torch._ops.OpOverload):
        return target._schema.is_mutable and _packet(target).endswith("_")
    return target in OUT_OF_PLACE or bool(_bound(node).get("inplace", False))


def follow_overwritten(root: nn.Module, graph: fx.Graph) -> None:
    """Make later readers of an overwritten tensor read the overwriting operation's result.

    The graph's results stay the same, even if the operation is later replaced by one that returns
    a new tensor.
    """
    position = {node: number for number, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if node.op.startswith("call") and is_in_place(root, node):
            overwritten = node.args[0]
            for user in list(overwritten.users):
                if position[user] > position[node]:
                    user.replace_input_with(overwritten, node)


def is_update(node: fx.Node) -> bool:
    """Whether a node changes a tensor and its result is unused, as for counters of batches."""
    if node.users or not node.op.startswith("call") or node.op == "call_module":
        return False
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return target._schema.is_mutable
    if node.op == "call_method":
        return str(target).endswith("_") and not str(target).endswith("__")
    return target is operator.setitem or target in OUT_OF_PLACE or "out" in node.kwargs


def check_updates(graph: fx.Graph) -> None:
    """Reject operations that overwrite part of a tensor, since the graph lacks that dependency.

    Updates of buffers are allowed: they stay in the stage that owns the buffer.

    Raises:
        SpecError: there is such an operation; the message names it.
    """
    for node in graph.nodes:
        if is_update(node) and not _is_of_buffer(node):
            what = getattr(node.target, "__name__", str(node.target))
            raise SpecError(
                f"the model overwrites a part of a tensor ({what} on {node.args[0]}), which a cut "
                "cannot follow; write it so that it makes a new tensor, as torch.where does"
            )


def _is_of_buffer(node: fx.Node) -> bool:
    """Whether the tensor that a node changes is a buffer or derived from one by first inputs."""
    changed = node.args[0] if node.args else None
    while isinstance(changed, fx.Node) and changed.op.startswith("call"):
        changed = changed.args[0] if changed.args else None
    return isinstance(changed, fx.Node) and changed.op == "get_attr"


def make_out_of_place(node: fx.Node, module: nn.Module | None) -> nn.Module | None:
    """Change a node that overwrites its input to return a new tensor.

    Returns:
        For a node that calls a module, the module to call: a copy that shares its weights.
    """
    target = node.target
    if module is not None:
        module = copy.copy(module)
        setattr(module, "inplace", False)  # noqa: B010 (unknown to mypy)
    elif node.op == "call_method":
        node.target = str(target)[:-1]
    elif isinstance(target, torch._ops.OpOverload):
        node.target = getattr(getattr(torch.ops.aten, _packet(target)[:-1]), target._overloadname)
    elif target in OUT_OF_PLACE:
        node.target = OUT_OF_PLACE[target]
    else:
        arguments = _bound(node)
        arguments["inplace"] = False
        node.args, node.kwargs = (), arguments
    return module


def _bound(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of a call by name; empty for builtins without a signature."""
    assert callable(node.target)
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)
    except (TypeError, ValueError):
        return {}
    return dict(bound.arguments)


def _packet(target: torch._ops.OpOverload[Any, Any]) -> str:
    return target._schema.name.partition("::")[2]
