"""Rewrites of the traced graph that do not change its results."""

from __future__ import annotations

from typing import Any

from onnxscript import ir
from onnxscript.rewriter import pattern, rewrite


def rewrite_graph(model: ir.Model) -> ir.Model:
    """Return the model with every rule of this module applied.

    A product with a weight moves before a transposition that keeps the last axis. In FP16, the CPU
    provider of ONNX Runtime 1.32 crashes on the original order: Transpose of the first two axes,
    the Cast that it inserts itself, MatMul. Batch-first attention layers have that order.
    """
    rule = pattern.RewriteRule(
        _transpose_then_multiply,
        _multiply_then_transpose,
        _keeps_last_axis,
        remove_nodes=False,  # other nodes may read the transposed tensor too
    )
    return rewrite(model, pattern_rewrite_rules=[rule])


def _transpose_then_multiply(op: Any, x: Any, weight: Any, perm: Any) -> Any:
    return op.MatMul(op.Transpose(x, perm=perm), weight)


def _multiply_then_transpose(op: Any, x: Any, weight: Any, perm: Any) -> Any:
    return op.Transpose(op.MatMul(x, weight), perm=perm)


def _keeps_last_axis(context: Any, x: Any, weight: ir.Value, perm: ir.Attr, **_: Any) -> bool:
    axes = perm.as_ints()
    is_matrix = weight.is_initializer() and weight.shape is not None and len(weight.shape) == 2
    return is_matrix and axes[-1] == len(axes) - 1
