"""The gate behind a classifier's logits, as ONNX nodes (Section III-C).

It is the same behind every exit, behind the plain backbone, and behind any other classifier that
is compared with them.
"""

from __future__ import annotations

import onnx
from edgeexit_runtime.bundle.manifest import GATE_DTYPES, GATE_OUTPUTS, THRESHOLD
from onnx import TensorProto, helper

AXES_AS_INPUT = 18
"""The ONNX opset from which ReduceMax reads its axes as a tensor."""
TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "bool": TensorProto.BOOL}


def add_gate(model: onnx.ModelProto, logits: str, num_classes: int) -> None:
    """Let a model answer as an exit does, its outputs replaced.

    Args:
        model: it gets the input ``threshold``, float32 (1,), and the outputs ``logits`` float32
            (N, K), ``confidence`` float32 (N,), ``label`` int32 (N,) and ``exits`` bool (N,), which
            is confidence >= threshold. Nothing in it may have one of these names, nor one that
            begins with ``gate/``.
        logits: its tensor of that meaning, (N, K), of any floating type.
        num_classes: K.
    """
    graph = model.graph
    if _opset(model) < AXES_AS_INPUT:
        largest = helper.make_node(
            "ReduceMax", ["gate/softmax"], ["confidence"], keepdims=0, axes=[1]
        )
    else:
        graph.initializer.append(helper.make_tensor("gate/axes", TensorProto.INT64, [1], [1]))
        largest = helper.make_node(
            "ReduceMax", ["gate/softmax", "gate/axes"], ["confidence"], keepdims=0
        )
    graph.node.extend(
        [
            helper.make_node("Cast", [logits], ["logits"], to=TensorProto.FLOAT),
            helper.make_node("Softmax", ["logits"], ["gate/softmax"], axis=1),
            largest,
            helper.make_node("ArgMax", ["gate/softmax"], ["gate/label"], axis=1, keepdims=0),
            helper.make_node("Cast", ["gate/label"], ["label"], to=TensorProto.INT32),
            helper.make_node("GreaterOrEqual", ["confidence", THRESHOLD], ["exits"]),
        ]
    )
    graph.input.append(helper.make_tensor_value_info(THRESHOLD, TensorProto.FLOAT, [1]))
    del graph.output[:]
    shapes = ((num_classes,), (), (), ())
    graph.output.extend(
        helper.make_tensor_value_info(name, TYPES[dtype], ["batch", *shape])
        for name, dtype, shape in zip(GATE_OUTPUTS, GATE_DTYPES, shapes, strict=True)
    )


def _opset(model: onnx.ModelProto) -> int:
    return max(int(entry.version) for entry in model.opset_import if not entry.domain)
