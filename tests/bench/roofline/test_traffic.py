"""MACs and bytes of graphs that are counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from edgeexit_runtime.testing import make_model
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeexit.bench.roofline.traffic import Traffic, bundle_traffic, graph_traffic
from edgeexit.errors import BundleError

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def count(
    nodes: list[onnx.NodeProto],
    weights: dict[str, NDArray[Any]],
    reads: dict[str, tuple[int | str, ...]],
    writes: tuple[str, ...],
    dtype: int = FLOAT,
) -> Traffic:
    """Count a graph; a size by name is a batch left open."""
    model = make_model(nodes, reads, dict.fromkeys(writes), weights, dtype=dtype, opset=21)
    return graph_traffic("test", model)


def ones(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    return np.ones(shape, dtype)


CONV = [node("Conv", "x w b", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "y")]


@pytest.mark.parametrize(
    ("dtype", "onnx_dtype", "size"), [(np.float32, FLOAT, 4), (np.float16, HALF, 2)]
)
def test_convolution_with_its_activation(dtype: Any, onnx_dtype: int, size: int) -> None:
    weights = {"w": ones(8, 3, 3, 3, dtype=dtype), "b": ones(8, dtype=dtype)}
    (operator,) = count(CONV, weights, {"x": ("batch", 3, 5, 5)}, ("y",), onnx_dtype)
    assert (operator.name, operator.kind) == ("y", "Conv 3x3")
    assert operator.macs == 8 * 25 * 27
    assert operator.weight_bytes == size * (8 * 27 + 8)
    # c is never written
    assert operator.activation_bytes == size * (3 * 25 + 8 * 25)
    assert operator.bytes == operator.weight_bytes + operator.activation_bytes


def test_an_activation_is_not_fused_where_somebody_else_reads_what_lies_between() -> None:
    nodes = [*CONV, node("Add", "c y", "z")]
    weights = {"w": ones(8, 3, 3, 3), "b": ones(8)}
    traffic = count(nodes, weights, {"x": ("batch", 3, 5, 5)}, ("z",))
    assert [operator.kind for operator in traffic] == ["Conv 3x3", "Relu", "Add"]
    values = 8 * 25
    assert [operator.activation_bytes for operator in traffic] == [
        4 * (3 * 25 + values),
        4 * 2 * values,
        4 * 3 * values,
    ]


def test_a_residual_addition_reads_the_other_operand_on_top() -> None:
    nodes = [node("Conv", "x w", "c"), node("Add", "c x", "sum"), node("Relu", "sum", "y")]
    traffic = count(nodes, {"w": ones(4, 4, 1, 1)}, {"x": ("batch", 4, 6, 6)}, ("y",))
    (operator,) = traffic
    # the input once, though both read it, and the result
    assert (operator.name, operator.activation_bytes) == ("y", 4 * 2 * 4 * 36)
    (other,) = count(
        [*nodes[:1], node("Add", "c r", "y")],
        {"w": ones(4, 4, 1, 1)},
        {"x": ("batch", 4, 6, 6), "r": ("batch", 4, 6, 6)},
        ("y",),
    )
    assert other.activation_bytes == 4 * 3 * 4 * 36


def test_a_product_that_makes_the_tensor_larger_is_not_fused() -> None:
    nodes = [node("Conv", "s w", "gate"), node("Mul", "gate x", "y")]
    reads: dict[str, tuple[int | str, ...]] = {"s": ("batch", 4, 1, 1), "x": ("batch", 4, 6, 6)}
    traffic = count(nodes, {"w": ones(4, 4, 1, 1)}, reads, ("y",))
    assert [operator.kind for operator in traffic] == ["Conv 1x1", "Mul"]
    assert [operator.activation_bytes for operator in traffic] == [
        4 * 8,
        4 * (4 + 2 * 144),
    ]


def test_views_move_nothing_and_a_classifier_reads_behind_them() -> None:
    nodes = [
        node("Reshape", "x shape", "flat"),
        node("Gemm", "flat w b", "logits", transB=1),
        node("Softmax", "logits", "y"),
    ]
    weights = {"shape": np.array([-1, 48]), "w": ones(10, 48), "b": ones(10)}
    traffic = count(nodes, weights, {"x": ("batch", 3, 4, 4)}, ("y",))
    gemm, softmax = traffic
    assert (gemm.kind, gemm.macs) == ("Gemm", 480)
    assert (gemm.weight_bytes, gemm.activation_bytes) == (4 * 490, 4 * (48 + 10))
    assert (softmax.macs, softmax.weight_bytes, softmax.activation_bytes) == (0, 0, 4 * 20)


def test_int8_weights_and_features_between_quantizers() -> None:
    """x is quantized, multiplied by weights of 1 byte, and the result is quantized again."""
    nodes = [
        node("QuantizeLinear", "x s z", "x8"),
        node("DequantizeLinear", "x8 s z", "xq"),
        node("DequantizeLinear", "w s z", "wq"),
        node("MatMul", "xq wq", "product"),
        node("Relu", "product", "r"),
        node("QuantizeLinear", "r s z", "r8"),
        node("DequantizeLinear", "r8 s z", "y"),
        node("MaxPool", "y", "p", kernel_shape=[1]),
    ]
    weights = {"w": ones(32, 16, dtype=np.int8), "s": np.float32(0.1), "z": np.int8(0)}
    traffic = count(
        nodes,
        {name: np.asarray(array) for name, array in weights.items()},
        {"x": ("batch", 4, 32)},
        ("p",),
    )
    quantize, product, pool = traffic
    assert (quantize.kind, quantize.activation_bytes) == ("QuantizeLinear", 4 * 128 + 128)
    assert (product.kind, product.macs) == ("MatMul", 4 * 32 * 16)
    assert product.activation_bytes == 128 + 64  # one byte each
    assert product.weight_bytes == 32 * 16
    assert pool.activation_bytes == 64 + 4 * 64
    # the scale and zero point that all share, once
    assert quantize.weight_bytes == 4 + 1


def test_shared_weights_count_once_a_call_and_what_they_make_is_a_weight_too() -> None:
    nodes = [
        node("Transpose", "w", "wt"),
        node("MatMul", "x wt", "a"),
        node("MatMul", "a w", "y"),
    ]
    traffic = count(nodes, {"w": ones(6, 6)}, {"x": ("batch", 6)}, ("y",))
    assert [operator.weight_bytes for operator in traffic] == [4 * 36, 0]
    assert sum(operator.macs for operator in traffic) == 72


IMAGE = ("batch", 4, 6, 6)


@pytest.mark.parametrize(
    ("made", "shape", "macs"),
    [
        (node("Conv", "x w", "y", group=4, pads=[1, 1, 1, 1]), IMAGE, 4 * 36 * 9),
        (node("ConvTranspose", "x wt", "y", strides=[2, 2]), IMAGE, 4 * 36 * 2 * 4),
        (node("Gemm", "x m", "y", transA=1), (3, 2), 2 * 3 * 5),
    ],
)
def test_macs_of_other_operators(
    made: onnx.NodeProto, shape: tuple[int | str, ...], macs: int
) -> None:
    kept = {"w": ones(4, 1, 3, 3), "wt": ones(4, 2, 2, 2), "m": ones(3, 5)}
    weights = {name: kept[name] for name in made.input if name in kept}
    (operator,) = count([made], weights, {"x": shape}, ("y",))
    assert operator.macs == macs


def test_a_shape_that_is_not_known_is_named() -> None:
    nodes = [node("NonZero", "x", "found"), node("Cast", "found", "y", to=FLOAT)]
    with pytest.raises(BundleError, match="test: the shape of its tensor 'y' is not known;"):
        count(nodes, {}, {"x": ("batch", 4)}, ("y",))


def test_every_graph_of_a_bundle(bundle: Path) -> None:
    traffic = bundle_traffic(bundle)
    assert list(traffic) == ["stage1", "exit1", "stage2", "final", "baseline"]
    stage, exit1 = traffic["stage1"], traffic["exit1"]
    image_bytes = 4 * 192
    assert {(it.macs, it.activation_bytes) for it in stage} == {(0, 2 * image_bytes)}
    (classifier,) = (it for it in exit1 if it.kind == "MatMul")
    assert sum(it.macs for it in exit1) == 192 * 10
    assert classifier.weight_bytes == 4 * 192 * 10
    assert classifier.activation_bytes == image_bytes + 4 * 10
