"""Find the logits in front of a softmax or a stack of all exits; losses apply the softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from edgeexit.errors import SpecError

FUNCTIONS = (
    torch.softmax,
    torch.special.softmax,
    F.softmax,
    torch.ops.aten.softmax.int,
    torch.ops.aten._softmax.default,
)
ROWS = (None, 1, -1)
"""Dimensions of a softmax of logits (N, K); torch uses the last one for None."""

STACKS = (torch.stack, torch.ops.aten.stack.default)
SELECTS = ("select", torch.ops.aten.select.int)


def in_front_of_softmax(
    root: nn.Module, node: fx.Node, values: Mapping[fx.Node, tuple[Any, Any]]
) -> fx.Node:
    """Return the input of ``node`` if ``node`` is a softmax of logits, otherwise ``node``."""
    source = node.args[0] if node.args else node.kwargs.get("input")
    if not isinstance(source, fx.Node) or not _is_softmax(root, node):
        return node
    tensor = values[source][0]
    return source if isinstance(tensor, Tensor) and tensor.ndim == 2 else node


def _is_softmax(root: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        module = root.get_submodule(str(node.target))
        return isinstance(module, nn.Softmax) and module.dim in ROWS
    if node.target not in FUNCTIONS and (node.op, node.target) != ("call_method", "softmax"):
        return False
    dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    return dim in ROWS


def out_of_stack(node: fx.Node, name: str) -> fx.Node:
    """Return the logits before they were stacked if ``node`` selects one exit; else ``node``.

    Raises:
        SpecError: the model computes the exits together.
    """
    if node.target not in SELECTS:
        return node
    arguments: Any = node.args
    stack, dim, number = arguments[:3]
    if stack.target in STACKS:
        parts, stacked_at = (*stack.args, stack.kwargs.get("dim", 0))[:2]
        if stacked_at in (dim, dim - 3):
            part: fx.Node = parts[number]
            return part
    raise SpecError(
        f"output {name}: it cannot be separated from the tensor with the logits of several "
        "exits, which is no torch.stack of them; give a model that returns them in a list"
    )
