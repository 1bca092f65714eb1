"""FP32 graph -> FP16 graph; images, softmax and gate stay FP32."""

from __future__ import annotations

import onnx
from edgeexit_runtime.bundle.manifest import GATE_OUTPUTS, IMAGES, THRESHOLD
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxscript import ir

from edgeexit.export.graphs.editing import drop_unread, replace_nodes
from edgeexit.export.graphs.parts import Graph, rewritten
from edgeexit.export.graphs.view import GraphView, descendants

LOGITS = GATE_OUTPUTS[0]


def to_half(model: onnx.ModelProto, until: str = LOGITS) -> onnx.ModelProto:
    """Return a stage or exit that computes in FP16; tensors between graphs are FP16 too.

    Args:
        model: FP32.
        until: a tensor that stays FP32, with everything computed from it. A stage, which has no
            tensor of that name, becomes FP16 as a whole.
    """
    if not any(until in node.output for node in model.graph.node):
        return _converted(model)
    behind = descendants(GraphView(model), until)
    trunk = onnx.ModelProto()
    trunk.CopyFrom(model)
    graph = trunk.graph
    replace_nodes(graph, [node for node in graph.node if node.output[0] not in behind])
    drop_unread(graph)
    for info in [info for info in graph.input if info.name == THRESHOLD]:
        graph.input.remove(info)
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(until, onnx.TensorProto.FLOAT, None))
    kept = {tensor.name for tensor in graph.initializer}
    result = _converted(trunk, until)
    graph = result.graph
    graph.node.extend(node for node in model.graph.node if node.output[0] in behind)
    graph.initializer.extend(it for it in model.graph.initializer if it.name not in kept)
    graph.input.extend(info for info in model.graph.input if info.name == THRESHOLD)
    del graph.output[:]
    graph.output.extend(model.graph.output)
    return result


def half_graph(graph: Graph) -> Graph:
    """Return a graph of the bundle in FP16: see :func:`to_half`."""
    return rewritten(graph, to_half(onnx.load_from_string(graph.content)), "float16")


def _converted(model: onnx.ModelProto, *keep: str) -> onnx.ModelProto:
    """Return a model in FP16, with its nodes in order; the converter's casts come last."""
    converted = convert_float_to_float16(model, keep_io_types=[IMAGES, *keep])
    in_order = ir.from_proto(converted)
    in_order.graph.sort()
    result: onnx.ModelProto = ir.to_proto(in_order)
    del result.graph.value_info[:]  # some describe tensors that no longer exist
    return result
