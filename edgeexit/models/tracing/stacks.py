"""Logits of several exits in one tensor: (M, N, K) or (N, M, K) for M exits and N images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from edgeexit.errors import SpecError

MOST_EXITS = 32
"""A tensor with more rows holds tokens."""
STACKS = (torch.stack, torch.ops.aten.stack.default)
SELECTS = ("select", torch.ops.aten.select.int)
_EXIT = re.compile(r"(?P<path>.+?)(?P<images>\.:)?\.(?P<number>\d+)")


def exits_in(path: str, tensor: Any, batch: int) -> dict[str, Tensor]:
    """Return the possible logits of each exit in a stacked result.

    For a result ``logits``, names are ``logits.1`` if it is (M, N, K), ``logits.:.1`` if (N, M, K).
    """
    if not isinstance(tensor, Tensor) or tensor.ndim != 3:
        return {}
    exits: dict[str, Tensor] = {}
    for dim, images in enumerate(("", ".:")):
        count = tensor.shape[dim]
        if tensor.shape[1 - dim] == batch and 1 < count <= MOST_EXITS:
            exits |= {f"{path}{images}.{n}": tensor.select(dim, n) for n in range(count)}
    return exits


def named_result(results: Mapping[str, Any], name: str) -> Any:
    """Return a result, or one exit of a stacked result; None if the name does not exist."""
    match = _EXIT.fullmatch(name)
    if name in results or match is None or match["path"] not in results:
        return results.get(name)
    return results[match["path"]].select(1 if match["images"] else 0, int(match["number"]))


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
