"""The gate behind a classifier's logits, as ONNX nodes (Section III-C).

It is the same for every exit, for the plain backbone, and for any other classifier that is compared
with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from edgeexit_runtime.bundle.manifest import GATE_OUTPUTS, THRESHOLD, gate_tensors
from onnx import TensorProto, helper, numpy_helper

from edgeexit.scores import SCORES, SOFTMAX, check_score

AXES_AS_INPUT = {"ReduceMax": 18, "ReduceSum": 13}
"""The ONNX opsets from which these operators read their axes as an input tensor."""
TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "bool": TensorProto.BOOL}
_LOGITS, _CONFIDENCE, _, _ = GATE_OUTPUTS


def add_gate(model: onnx.ModelProto, logits: str, num_classes: int, score: str = SOFTMAX) -> None:
    """Add an exit's gate to a model, whose outputs it replaces.

    Args:
        model: gets the input ``threshold``, float32 (1,), and the outputs ``logits`` float32
            (N, K), ``confidence`` float32 (N,), ``label`` int32 (N,) and ``exits`` bool (N,), which
            is confidence >= threshold. No name in it may be one of these, or begin with
            ``gate/``.
        logits: its tensor of logits, (N, K), of any floating type.
        num_classes: K.
        score: the score that is the confidence, one of :data:`edgeexit.scores.SCORES`.

    Raises:
        UnknownNameError, ValueError: see :func:`edgeexit.scores.check_score`.
    """
    graph = model.graph
    nodes = _Nodes(model, num_classes)
    graph.node.extend(
        [
            helper.make_node("Cast", [logits], [nodes.logits], to=TensorProto.FLOAT),
            helper.make_node("Softmax", [nodes.logits], [nodes.probabilities], axis=1),
        ]
    )
    SCORES[check_score(score, num_classes)].add_nodes(nodes)
    graph.node[-1].output[0] = _CONFIDENCE
    graph.node.extend(
        [
            helper.make_node("ArgMax", [nodes.probabilities], ["gate/label"], axis=1, keepdims=0),
            helper.make_node("Cast", ["gate/label"], ["label"], to=TensorProto.INT32),
            helper.make_node("GreaterOrEqual", [_CONFIDENCE, THRESHOLD], ["exits"]),
        ]
    )
    graph.input.append(helper.make_tensor_value_info(THRESHOLD, TensorProto.FLOAT, [1]))
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(it.name, TYPES[it.dtype], ["batch", *it.shape])
        for it in gate_tensors(num_classes)
    )


class _Nodes:
    """Adds nodes to the end of a graph: see :class:`edgeexit.scores.Nodes`."""

    logits, probabilities = _LOGITS, "gate/softmax"

    def __init__(self, model: onnx.ModelProto, num_classes: int) -> None:
        self.num_classes = num_classes
        self._graph = model.graph
        self._opset = max(int(entry.version) for entry in model.opset_import if not entry.domain)
        self._names = 0

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [self._name() for _ in range(outputs)]
        self._graph.node.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0]

    def over_classes(self, operator: str, tensor: str) -> str:
        if self._opset < AXES_AS_INPUT[operator]:
            return self.add(operator, tensor, axes=[1], keepdims=0)
        return self.add(operator, tensor, self.constant([1], "int64"), keepdims=0)

    def constant(self, value: float | list[int], dtype: str = "float32") -> str:
        name = self._name()
        self._graph.initializer.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def _name(self) -> str:
        self._names += 1
        return f"gate/{self._names}"
