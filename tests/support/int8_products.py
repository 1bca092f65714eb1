"""A layer of 8 bits whose sums are the largest that there are."""

from __future__ import annotations

import numpy as np
from edgeexit_runtime.testing import make_model
from onnx import helper

CHANNELS = 16


def product_model(kind: str, levels: int = 127) -> bytes:
    """Ones times ones, all of them the largest integers there are: 255 x 127, or 63 in 7 bits."""
    scale, total = np.float32(1 / 255), np.float32(CHANNELS / 255)
    weight = np.full((CHANNELS, CHANNELS, 1, 1), levels, np.int8)
    zeros = np.zeros(CHANNELS, np.int32)
    constants = {
        **{"x_scale": scale, "zero": np.uint8(0), "total": total},
        "w": weight if kind == "Conv" else weight.reshape(CHANNELS, CHANNELS),
        "w_scale": np.full(CHANNELS, 1 / levels, np.float32),
        "w_zero": zeros.astype(np.int8),
        **{"b": zeros, "b_scale": np.full(CHANNELS, scale / levels, np.float32), "b_zero": zeros},
    }
    dequantize = "DequantizeLinear"
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "zero"], ["xq"]),
        helper.make_node(dequantize, ["xq", "x_scale", "zero"], ["xd"]),
        helper.make_node(dequantize, ["w", "w_scale", "w_zero"], ["wd"], axis=0),
        helper.make_node(dequantize, ["b", "b_scale", "b_zero"], ["bd"], axis=0),
        helper.make_node(
            kind, ["xd", "wd", "bd"], ["y"], **({"transB": 1} if kind == "Gemm" else {})
        ),
        helper.make_node("QuantizeLinear", ["y", "total", "zero"], ["yq"]),
        helper.make_node(dequantize, ["yq", "total", "zero"], ["out"]),
    ]
    shape = ["n", *sizes(kind)]
    weights = {name: np.asarray(value) for name, value in constants.items()}
    model = make_model(nodes, {"x": shape}, {"out": shape}, weights)
    content: bytes = model.SerializeToString()
    return content


def sizes(kind: str) -> tuple[int, ...]:
    return (CHANNELS, 4, 4) if kind == "Conv" else (CHANNELS,)
