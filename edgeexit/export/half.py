"""FP32 graph -> FP16 graph, but for images, softmax, gate, and nodes that are to stay FP32."""

from __future__ import annotations

from collections.abc import Collection

import onnx
from edgeexit_runtime.manifest import GATE_OUTPUTS, IMAGES, THRESHOLD
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxscript import ir

from edgeexit.export.graph_view import GraphView, descendants

__all__ = ["to_half"]

LOGITS = GATE_OUTPUTS[0]


def to_half(model: onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Return a stage or exit computing in FP16; tensors between graphs are FP16 too.

    Args:
        model: FP32.
        keep: first outputs of nodes that stay FP32, besides all that follows the logits.
    """
    trunk, gate = _without_gate(model)
    blocked = []
    for number, node in enumerate(trunk.graph.node):
        node.name = f"{node.name or node.op_type}/{number}"  # blocked by name, so unique
        if node.output[0] in keep:
            blocked.append(node.name)
    converted = convert_float_to_float16(
        trunk, keep_io_types=[IMAGES, LOGITS], node_block_list=blocked
    )
    result: onnx.ModelProto = ir.to_proto(_sorted(converted))
    # back to what came in, but for the types of features
    result.graph.node.extend(gate)
    result.graph.input.extend(info for info in model.graph.input if info.name == THRESHOLD)
    result.graph.output.extend(info for info in model.graph.output if info.name in GATE_OUTPUTS[1:])
    del result.graph.value_info[:]  # some are of tensors that are no longer there
    return result


def _without_gate(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[onnx.NodeProto]]:
    """Return what leads to the logits, or the whole stage, and the nodes that follow them."""
    trunk = onnx.ModelProto()
    trunk.CopyFrom(model)
    graph = trunk.graph
    behind = descendants(GraphView(model), LOGITS)
    gate = [node for node in model.graph.node if node.output[0] in behind]
    for node in [node for node in graph.node if node.output[0] in behind]:
        graph.node.remove(node)
    for tensors, left_out in ((graph.input, (THRESHOLD,)), (graph.output, GATE_OUTPUTS[1:])):
        for info in [info for info in tensors if info.name in left_out]:
            tensors.remove(info)
    return trunk, gate


def _sorted(model: onnx.ModelProto) -> ir.Model:
    """Return a model with its nodes in order; the converter's casts come last."""
    result = ir.from_proto(model)
    result.graph.sort()
    return result
