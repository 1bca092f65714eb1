"""Context managers for modes of modules and of torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

FAKE_TENSOR_LOG = logging.getLogger("torch._subclasses.fake_tensor")


@contextmanager
def in_mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Put ``module`` into one mode for the block, then restore the mode of every submodule.

    ``module.train(was_training)`` would not restore them: parts of a network may be frozen in
    evaluation mode while the rest trains.
    """
    modes = [(child, child.training) for child in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for child, was_training in modes:
            child.training = was_training


def evaluating(module: nn.Module) -> AbstractContextManager[None]:
    """Put ``module`` into evaluation mode for the block."""
    return in_mode(module, False)


@contextmanager
def plain_attention() -> Iterator[None]:
    """Run attention and torch's transformer layers without fused kernels.

    Two matrix products around a softmax can be counted; fused kernels depend on the device.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


class AttentionOfFourDimensions(TorchFunctionMode):
    """Run attention on four dimensions only, (N, heads, tokens, features).

    Torch's ONNX exporter supports no other number. All dimensions between images and tokens
    (heads, windows, blocks, or none) are treated alike by attention and are flattened into one.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        attention = torch.ops.aten.scaled_dot_product_attention.default
        if func is attention and args[0].dim() not in (2, 4):
            func = _attention_of_heads
        return func(*args, **(kwargs or {}))


def _attention_of_heads(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *others: Any,
    **options: Any,
) -> Tensor:
    """Scaled dot product attention of a query (N, ..., L, E) with a mask (..., L, S)."""

    def heads(x: Tensor) -> Tensor:  # (N, ..., L, E) -> (N, heads, L, E)
        return x.reshape(x.shape[0], -1, *x.shape[-2:])

    if attn_mask is not None and attn_mask.dim() > 2:
        attn_mask = heads(attn_mask.expand(*query.shape[:-1], key.shape[-2]))
    mixed = scaled_dot_product_attention(
        heads(query), heads(key), heads(value), attn_mask, *others, **options
    )
    return mixed.reshape(*query.shape[:-1], value.shape[-1])


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Propagate shapes with fake tensors: nothing is computed and no memory is allocated.

    An operator that does not support a shape raises as usual. Torch also logs the traceback, which
    is suppressed because callers explain the error in one line.
    """
    disabled, FAKE_TENSOR_LOG.disabled = FAKE_TENSOR_LOG.disabled, True
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
    finally:
        FAKE_TENSOR_LOG.disabled = disabled
