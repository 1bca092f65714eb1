"""A stage and an exit written by hand, so that no exporter's version shows in their bytes."""

from __future__ import annotations

import numpy as np
import onnx
from edgeexit_runtime.testing import make_model
from numpy.typing import NDArray
from onnx import helper

from edgeexit.export.graphs.gate import add_gate


def stage_model() -> onnx.ModelProto:
    """Convolution, ReLU, pooling, and a residual block: images (N, 3, 8, 8) to (N, 8, 4, 4)."""
    nodes = [
        helper.make_node("Conv", ["images", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Conv", ["r2", "w3", "b3"], ["c3"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c3", "p1"], ["a"]),
        helper.make_node("Relu", ["a"], ["stage1_out"]),
    ]
    weights = {
        **{"w1": _ramp(8, 3, 3, 3), "b1": _ramp(8), "w2": _ramp(8, 8, 3, 3), "b2": _ramp(8)},
        **{"w3": _ramp(8, 8, 3, 3), "b3": _ramp(8)},
    }
    shapes = {"images": ["batch", 3, 8, 8]}, {"stage1_out": ["batch", 8, 4, 4]}
    return make_model(nodes, *shapes, weights, name="stage1", opset=19, ir_version=10)


def exit_model() -> onnx.ModelProto:
    """Squeeze-and-excitation, and a classifier: features (N, 8, 4, 4) to five classes."""
    nodes = [
        helper.make_node("Conv", ["stage1_out", "w1", "b1"], ["c1"]),
        helper.make_node("ReduceMean", ["c1", "axes"], ["pooled"], keepdims=1),
        helper.make_node("Conv", ["pooled", "w2", "b2"], ["c2"]),
        helper.make_node("Sigmoid", ["c2"], ["scale"]),
        helper.make_node("Mul", ["scale", "c1"], ["m"]),
        helper.make_node("Add", ["m", "stage1_out"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Reshape", ["r", "shape"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["classes"], transB=1),
    ]
    weights = {
        **{"w1": _ramp(8, 8, 1, 1), "b1": _ramp(8), "axes": np.array([2, 3])},
        **{"w2": _ramp(8, 8, 1, 1), "b2": _ramp(8), "shape": np.array([-1, 128])},
        **{"w3": _ramp(5, 128), "b3": _ramp(5)},
    }
    shapes = {"stage1_out": ["batch", 8, 4, 4]}, {"classes": ["batch", 5]}
    model = make_model(nodes, *shapes, weights, name="exit1", opset=19, ir_version=10)
    add_gate(model, "classes", 5)
    return model


def _ramp(*shape: int) -> NDArray[np.float32]:
    """Values from -1 to 1 that are multiples of 1/128, all channels different."""
    count = int(np.prod(shape))
    steps = (np.arange(count) * 37) % 257 - 128
    return (steps / 128).astype(np.float32).reshape(shape)
