"""What a graph is asked: here the axis of output channels, which no file says."""

from __future__ import annotations

import numpy as np
import pytest
from edgeexit_runtime.testing import make_model
from onnx import helper

from edgeexit.export.graphs.view import GraphView


@pytest.mark.parametrize(
    ("operator", "attributes", "shape", "expected"),
    [
        ("Conv", {}, (8, 3, 1, 1), 0),
        ("Gemm", {"transB": 1}, (8, 3), 0),
        ("Gemm", {"transB": 0}, (3, 8), 1),
        ("Gemm", {}, (3, 8), 1),
        ("MatMul", {}, (3, 8), 1),
        ("MatMul", {}, (5, 3, 8), None),
        ("Add", {}, (8, 3), None),
    ],
)
def test_output_channels_lie_where_the_operator_writes_them(
    operator: str, attributes: dict[str, int], shape: tuple[int, ...], expected: int | None
) -> None:
    node = helper.make_node(operator, ["x", "weight"], ["y"], **attributes)
    weights = {"weight": np.zeros(shape, np.float32)}
    view = GraphView(make_model([node], {"x": None}, {"y": None}, weights))
    assert view.channel_axis(view.nodes[0]) == expected


def test_weights_that_are_computed_are_those_of_no_layer() -> None:
    node = helper.make_node("MatMul", ["x", "computed"], ["y"])
    view = GraphView(make_model([node], {"x": None}, {"y": None}))
    assert view.channel_axis(node) is None
