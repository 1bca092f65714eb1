"""ONNX classifiers with exits of their own, written node by node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from edgeexit_runtime.testing import make_model
from numpy.typing import NDArray
from onnx import helper

SIZE = (3, 16, 16)
CLASSES = 5


class Written:
    """An ONNX graph that is written node by node."""

    def __init__(self, batch: int | str = "N", opset: int = 18) -> None:
        self.batch, self.opset = batch, opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}
        self.outputs: list[str] = []
        self._random = np.random.default_rng(0)

    def add(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def weight(self, *shape: int) -> str:
        values = self._random.standard_normal(shape).astype(np.float32) / shape[-1] ** 0.5
        return self.constant(values)

    def constant(self, values: NDArray[Any]) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = values
        return name

    def convolution(
        self, source: str, name: str, channels: tuple[int, int], stride: int = 1
    ) -> str:
        weight = self.weight(channels[1], channels[0], 3, 3)
        given = {"pads": [1] * 4, "strides": [stride] * 2}
        self.add("Conv", [source, weight], f"{name}_linear", **given)
        return self.add("Relu", [f"{name}_linear"], name)

    def classifier(self, source: str, name: str, channels: int) -> str:
        pooled = self.add("GlobalAveragePool", [source], f"{name}_pooled")
        return self.answer(self.add("Flatten", [pooled], f"{name}_flat"), name, channels)

    def answer(self, flat: str, name: str, channels: int) -> str:
        self.add("Gemm", [flat, self.weight(CLASSES, channels)], name, transB=1)
        self.outputs.append(name)
        return name

    def save(self, folder: Path, **sizes: Any) -> Path:
        images = {"images": [self.batch, *sizes.get("size", SIZE)]}
        answers = {name: [self.batch, CLASSES] for name in self.outputs}
        model = make_model(self.nodes, images, answers, self.weights, opset=self.opset)
        onnx.save(model, folder / "m.onnx")
        return folder / "m.onnx"


def internal(batch: int | str = "N", opset: int = 18) -> Written:
    """An SDN: one classifier behind every block."""
    model = Written(batch, opset)
    x = model.convolution("images", "first", (3, 8), 2)
    model.classifier(x, "early", 8)
    x = model.convolution(x, "second", (8, 8))
    model.classifier(x, "middle", 8)
    model.classifier(model.convolution(x, "third", (8, 12), 2), "out", 12)
    return model
