"""What is said of a network before it is traced, and a rewrite that leaves results as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edgeexit_runtime.backends.reference import open_reference_model
from edgeexit_runtime.testing import make_model
from onnx import helper
from onnxscript import ir
from torch import nn

from edgeexit.errors import ExportError
from edgeexit.export.graphs.making import check_size, rewrite_graph


def test_weights_beyond_what_onnx_holds_are_named() -> None:
    network = nn.Linear(30_000, 20_000, bias=False, device="meta")  # takes no memory
    with pytest.raises(ExportError) as raised:
        check_size(network)
    for fact in ("2.40 GB", "at most 2.15", "--precision fp16"):
        assert fact in str(raised.value)
    check_size(network.to(torch.float16))


@pytest.mark.parametrize(
    ("perm", "rows", "moved"), [([1, 0, 2], 4, True), ([0, 2, 1], 3, False), ([2, 0, 1], 3, False)]
)
def test_a_product_moves_before_a_transposition_of_other_axes(
    perm: list[int], rows: int, moved: bool
) -> None:
    """Both results are handed on."""
    weight = np.linspace(-1, 1, rows * 5, dtype=np.float32).reshape(rows, 5)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=perm),
        helper.make_node("MatMul", ["t", "weight"], ["y"]),
    ]
    shapes = {"x": ["batch", 3, 4]}, {"y": [None] * 3, "t": [None] * 3}
    model = make_model(nodes, *shapes, {"weight": weight}, ir_version=10)
    rewritten = ir.to_proto(rewrite_graph(ir.from_proto(model)))
    product = next(node for node in rewritten.graph.node if node.op_type == "MatMul")
    assert (product.input[0] == "x") is moved
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    got, expected = (
        open_reference_model(it.SerializeToString()).run({"x": x}) for it in (rewritten, model)
    )
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values)
