"""ONNX models written node by node, for tests of code that reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str | None]  # a name is a dynamic size


def make_model(
    nodes: Sequence[onnx.NodeProto],
    reads: Mapping[str, Shape | None],
    writes: Mapping[str, Shape | None],
    weights: Mapping[str, NDArray[Any]] | None = None,
    *,
    dtype: int = TensorProto.FLOAT,
    name: str = "graph",
    opset: int = 18,
    ir_version: int = 8,
) -> onnx.ModelProto:
    """Return a model of one graph. It is not checked, so that tests can use invalid models.

    Args:
        nodes: in execution order.
        reads, writes: shapes of the graph's inputs and outputs by name; None for an unknown shape.
        weights: constants by name.
        dtype: ONNX's number of the type of all inputs and outputs.
        name: the graph's name.
        opset: version of ONNX's own operators.
        ir_version: version of the file format.
    """
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(key, dtype, shape) for key, shape in reads.items()],
        [helper.make_tensor_value_info(key, dtype, shape) for key, shape in writes.items()],
        [numpy_helper.from_array(value, key) for key, value in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
