"""Rewrites of graphs leave the results as they are."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from edgeexit_runtime.testing import make_model
from numpy.typing import NDArray
from onnx import helper
from onnxscript import ir

from edgeexit.export.graphs.rewrites import rewrite_graph


def transpose_and_multiply(perm: list[int], weight: NDArray[np.float32]) -> onnx.ModelProto:
    """A model that transposes x, (N, 3, 4), multiplies it, and hands on both results."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=perm),
        helper.make_node("MatMul", ["t", "weight"], ["y"]),
    ]
    written = {"y": [None] * 3, "t": [None] * 3}
    return make_model(nodes, {"x": ["batch", 3, 4]}, written, {"weight": weight}, ir_version=10)


def run(model: onnx.ModelProto) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    results: list[NDArray[np.float32]] = session.run(None, {"x": x})
    return results


@pytest.mark.parametrize(
    ("perm", "rows", "moved"), [([1, 0, 2], 4, True), ([0, 2, 1], 3, False), ([2, 0, 1], 3, False)]
)
def test_a_product_moves_before_a_transposition_of_other_axes(
    perm: list[int], rows: int, moved: bool
) -> None:
    weight = np.linspace(-1, 1, rows * 5, dtype=np.float32).reshape(rows, 5)
    model = transpose_and_multiply(perm, weight)
    rewritten = ir.to_proto(rewrite_graph(ir.from_proto(model)))
    product = next(node for node in rewritten.graph.node if node.op_type == "MatMul")
    assert (product.input[0] == "x") is moved
    for got, expected in zip(run(rewritten), run(model), strict=True):
        np.testing.assert_array_equal(got, expected)
