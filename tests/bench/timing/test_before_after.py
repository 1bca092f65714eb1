"""Parts before and after they were made smaller, timed in turns on what flows into them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from edgeexit_runtime.bundle.manifest import GATE_DTYPES, GATE_OUTPUTS, IMAGES, TensorInfo
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.timing.before_after import time_graphs
from edgeexit.export import Graph

FLOAT = TensorProto.FLOAT
IMAGE = np.ones((1, 3, 4, 4), np.float32)


def content(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[object]],
    outputs: dict[str, tuple[int, list[object]]],
    weights: dict[str, NDArray[np.float32]] | None = None,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "part",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    result: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return result


def graphs(width: int) -> tuple[Graph, Graph]:
    """A stage that multiplies matrices of this width, and an exit behind it."""
    images, features = TensorInfo(IMAGES, "float32", (3, 4, 4)), TensorInfo("f", "float32", (48,))
    stage = content(
        [
            helper.make_node("Flatten", [IMAGES], ["flat"]),
            helper.make_node("MatMul", ["flat", "wide"], ["middle"]),
            helper.make_node("MatMul", ["middle", "narrow"], ["f"]),
        ],
        {IMAGES: ["batch", 3, 4, 4]},
        {"f": (FLOAT, ["batch", 48])},
        {"wide": np.ones((48, width), np.float32), "narrow": np.ones((width, 48), np.float32)},
    )
    exit_ = content(
        [
            helper.make_node("Identity", ["f"], ["logits"]),
            helper.make_node("ReduceMax", ["f", "axes"], ["confidence"], keepdims=0),
            helper.make_node("ArgMax", ["f"], ["long"], axis=1, keepdims=0),
            helper.make_node("Cast", ["long"], ["label"], to=TensorProto.INT32),
            helper.make_node("GreaterOrEqual", ["confidence", "threshold"], ["exits"]),
        ],
        {"f": ["batch", 48], "threshold": [1]},
        {
            "logits": (FLOAT, ["batch", 48]),
            "confidence": (FLOAT, ["batch"]),
            "label": (TensorProto.INT32, ["batch"]),
            "exits": (TensorProto.BOOL, ["batch"]),
        },
        {"axes": np.array([1], np.int64)},  # type: ignore[dict-item]
    )
    gate = tuple(map(TensorInfo, GATE_OUTPUTS, GATE_DTYPES, ((48,), (), (), ())))
    return Graph("stage1", stage, (images,), (features,)), Graph("final", exit_, (features,), gate)


def test_every_part_in_both_forms() -> None:
    before, after = graphs(4000), graphs(8)
    told: list[float] = []
    options = BenchOptions(rounds=3, duration_s=0.1)
    changes = time_graphs(before, after, IMAGE, options, lambda step, done: told.append(done))
    assert [change.name for change in changes] == ["stage1", "final"]
    for change, old, new in zip(changes, before, after, strict=True):
        assert (change.bytes_before, change.bytes_after) == (len(old.content), len(new.content))
        assert change.before.count > 0
        assert change.after.count > 0
        assert change.ratio == pytest.approx(change.after.p50_ms / change.before.p50_ms)
    assert told
