"""FP32 graphs written for blocks of channels give what they gave, with fewer changes of layout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edgeexit_runtime.backends.reference import open_reference_model
from edgeexit_runtime.testing import make_model
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeexit.export import Graph
from edgeexit.export.graphs.blocked import LARGEST_REPEATED, keep_in_blocks

CHANNELS = 32
CPU = ["CPUExecutionProvider"]


def excitation(hidden: int, size: tuple[int, int], *, swapped: bool = False) -> Graph:
    """Write a block of SE-B: a gated convolution, added to another one, and what is read twice."""
    gated = ["c1", "gate"] if swapped else ["gate", "c1"]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"]),
        helper.make_node("ReduceMean", ["c1", "axes"], ["pooled"], keepdims=1),
        helper.make_node("Conv", ["pooled", "w2", "b2"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Conv", ["active", "w3", "b3"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["gate"]),
        helper.make_node("Mul", gated, ["scaled"]),
        helper.make_node("Conv", ["x", "w4", "b4"], ["shortcut"]),
        helper.make_node("Add", ["scaled", "shortcut"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["y"]),
    ]
    weights: dict[str, NDArray[np.generic]] = {"axes": np.array([2, 3])}
    for layer, shape in enumerate(
        ((CHANNELS, CHANNELS), (hidden, CHANNELS), (CHANNELS, hidden), (CHANNELS, CHANNELS)), 1
    ):
        weights |= {f"w{layer}": values(*shape, 1, 1), f"b{layer}": values(shape[0])}
    return graph(nodes, weights, size, size, CHANNELS)


def shortcut(*, before: int = 16, start: int = 0) -> Graph:
    """Write a convolution of stride 2 and the shortcut that a CIFAR ResNet adds to it."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Slice", ["x", "starts", "ends", "axes", "steps"], ["cut"]),
        helper.make_node("Pad", ["cut", "pads"], ["padded"], mode="constant"),
        helper.make_node("Add", ["c", "padded"], ["y"]),
    ]
    weights = {
        "w": values(before + CHANNELS + 16, CHANNELS, 3, 3),
        "starts": np.array([0, start]),
        "ends": np.array([2**63 - 1, 2**63 - 1]),
        "axes": np.array([2, 3]),
        "steps": np.array([2, 2]),
        "pads": np.array([0, before, 0, 0, 0, 16, 0, 0]),
    }
    return graph(nodes, weights, (9, 8), (5, 4), before + CHANNELS + 16)


def graph(
    nodes: list[onnx.NodeProto],
    weights: dict[str, NDArray[np.generic]],
    size: tuple[int, int],
    written: tuple[int, int],
    channels: int,
) -> Graph:
    reads, writes = {"x": ["batch", CHANNELS, *size]}, {"y": ["batch", channels, *written]}
    model = make_model(nodes, reads, writes, weights, name="part", ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return Graph("part", model.SerializeToString(), (), ())


def values(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def operators(content: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(content).graph.node)


def check_same(before: Graph, after: Graph) -> None:
    """Both give the same for one image and for several."""
    shape = onnx.load_from_string(before.content).graph.input[0].type.tensor_type.shape
    for batch in (1, 3):
        size = [dim.dim_value for dim in shape.dim][1:]
        x = np.random.default_rng(batch).standard_normal((batch, *size), np.float32)
        expected, got = (
            open_reference_model(it.content).run({"x": x})["y"] for it in (before, after)
        )
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hidden", [4, 16, 20])
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 8), (1, 1), (LARGEST_REPEATED + 1, 2)])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_gated_block_gives_what_it_gave(
    hidden: int, size: tuple[int, int], swapped: bool
) -> None:
    before = excitation(hidden, size, swapped=swapped)
    after = keep_in_blocks(before)
    check_same(before, after)
    found = operators(after.content)
    assert found["ReduceMean"] == 0
    assert found["GlobalAveragePool"] == 1
    assert found["MaxPool"] == (1 < max(size) <= LARGEST_REPEATED)
    weights = {tuple(t.dims) for t in onnx.load_from_string(after.content).graph.initializer}
    filled = -(-hidden // 16) * 16
    assert {(filled, CHANNELS, 1, 1), (filled,), (CHANNELS, filled, 1, 1)} <= weights
    assert keep_in_blocks(after).content == after.content


def test_no_layout_changes_are_left_within_a_gated_block(tmp_path: Path) -> None:
    def changes(content: bytes) -> int:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        onnxruntime.InferenceSession(content, options, providers=CPU)
        found = Counter(n.op_type for n in onnx.load(tmp_path / "optimized.onnx").graph.node)
        return found["ReorderInput"] + found["ReorderOutput"]

    before = excitation(4, (8, 8))
    if changes(before.content) == 0:
        pytest.skip("ONNX Runtime has no blocks of channels on this processor")
    assert changes(keep_in_blocks(before).content) == 2  # where it begins and ends


def test_layers_that_others_read_keep_their_channels() -> None:
    block = onnx.load_from_string(excitation(4, (8, 8)).content)
    block.graph.output.append(
        helper.make_tensor_value_info("active", TensorProto.FLOAT, ["batch", 4, 1, 1])
    )
    after = keep_in_blocks(Graph("part", block.SerializeToString(), (), ()))
    model = onnx.load_from_string(after.content)
    assert {"w2", "w3"} <= {tensor.name for tensor in model.graph.initializer}


def test_a_mean_of_what_comes_in_stays() -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
        helper.make_node("Relu", ["m"], ["y"]),
    ]
    before = graph(nodes, {"axes": np.array([2, 3])}, (8, 8), (1, 1), CHANNELS)
    assert operators(keep_in_blocks(before).content) == {"ReduceMean": 1, "Relu": 1}


@pytest.mark.parametrize("before", [0, 16])
def test_a_shortcut_without_weights_becomes_a_convolution(before: int) -> None:
    plain = shortcut(before=before)
    after = keep_in_blocks(plain)
    check_same(plain, after)
    assert operators(after.content) == {"Conv": 2, "Add": 1}


def test_a_shortcut_of_other_pixels_stays() -> None:
    plain = shortcut(start=1)
    assert operators(keep_in_blocks(plain).content) == operators(plain.content)


def test_a_shortcut_that_leaves_out_its_steps_and_names_its_padding_stays() -> None:
    nodes = [
        helper.make_node("Slice", ["x", "starts", "ends", "axes"], ["c"]),
        helper.make_node("Pad", ["c", "pads", "value"], ["y"]),
    ]
    weights: dict[str, NDArray[np.generic]] = {
        "starts": np.array([0, 0]),
        "ends": np.array([4, 4]),
        "axes": np.array([2, 3]),
        "pads": np.array([0, 0, 0, 0, 0, 16, 0, 0]),
        "value": np.array(0, np.float32),
    }
    plain = graph(nodes, weights, (9, 8), (4, 4), CHANNELS + 16)
    assert operators(keep_in_blocks(plain).content) == {"Slice": 1, "Pad": 1}
