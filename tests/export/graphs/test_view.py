"""What a graph is asked: here the axis of output channels, which no file says."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

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
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(shape, np.float32), "weight")],
    )
    view = GraphView(helper.make_model(graph))
    assert view.channel_axis(view.nodes[0]) == expected


def test_weights_that_are_computed_are_those_of_no_layer() -> None:
    node = helper.make_node("MatMul", ["x", "computed"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    model = helper.make_model(helper.make_graph([node], "graph", values[:1], values[1:]))
    assert GraphView(model).channel_axis(node) is None
