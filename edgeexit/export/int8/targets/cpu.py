"""Quantization for ONNX Runtime's CPU provider: features unsigned and asymmetric.

The provider fuses a layer into one 8-bit kernel if all of its inputs and outputs are in 8 bits. So
inputs and outputs of convolutions, additions, products and poolings are rounded, and the inputs of
linear layers; biases are int32. Features are uint8 and 0 is exact: where no value is below 0, the
zero point is 0, and clipping there is all that a ReLU does, so the provider removes it.
Squeeze-and-excitation is in 8 bits too. Softmax, gate and logits stay in floating point.

Feature maps are in 8 bits between graphs: none is rounded twice, and a quarter of the bytes move.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx
from edgeexit_runtime.bundle.manifest import GATE_OUTPUTS, IMAGES, THRESHOLD
from edgeexit_runtime.bundle.quantization_entry import CPU, TargetEntry

from edgeexit.export.graphs.view import FEATURE_MAP_RANK, GraphView
from edgeexit.export.graphs.widening import classify_channels_last, pool_globally, widen_channels
from edgeexit.export.int8.nodes import Bias, QuantizationPlan
from edgeexit.export.int8.rounding import unsigned_asymmetric
from edgeexit.export.int8.targets.base import TARGETS, QuantizationTarget

ON_MAPS = ("Add", "Mul", "Concat", "GlobalAveragePool", "AveragePool", "Sigmoid")
"""Operators on features alone that have an 8-bit kernel; layers with weights have one, too."""
MOVES = ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Pad", "MaxPool")
ACTIVATIONS = ("Relu", "Clip")
"""Activations that the rounding of their output includes."""


def prepare_cpu(model: onnx.ModelProto) -> None:
    """Rewrite a graph in operators that have fast 8-bit kernels in the CPU provider."""
    pool_globally(model)
    classify_channels_last(model)
    widen_channels(model)


def plan_cpu(model: onnx.ModelProto) -> QuantizationPlan:
    """Return the plan of a prepared graph for ONNX Runtime's CPU provider."""
    return _Planner(GraphView(model)).plan()


class _Planner:
    def __init__(self, view: GraphView) -> None:
        self._view = view
        self._floating = {*GATE_OUTPUTS, *self._moved_to(GATE_OUTPUTS[0])}
        self._tensors: dict[str, None] = {}  # an ordered set
        self._moves: dict[str, str] = {}
        self._weights: dict[str, int] = {}
        self._biases: dict[str, Bias] = {}

    def plan(self) -> QuantizationPlan:
        for name in self._crossing(self._view.graph.input):
            self._tensors[name] = None
        for node in self._view.nodes:
            axis = self._view.channel_axis(node)
            if axis is not None:
                self._add_layer(node, axis)
            elif self._is_on_maps(node):
                for name in node.input:
                    self._round(name)
                self._round_result(node)
        for name in self._crossing(self._view.graph.output):
            self._round(name)
        return QuantizationPlan(
            self._weights,
            tuple(self._tensors),
            frozenset(self._edges()),
            self._biases,
            self._moves,
        )

    def _add_layer(self, node: onnx.NodeProto, axis: int) -> None:
        self._weights[node.input[1]] = axis
        tensor = self._round(node.input[0])
        bias = node.input[2] if len(node.input) > 2 else ""
        if bias in self._view.initializers:
            self._biases[node.output[0]] = Bias(bias, tensor, node.input[1])
        if node.op_type == "Conv":
            self._round_result(node)

    def _round(self, name: str) -> str:
        """Plan to round a tensor before any moves; return the tensor that is rounded."""
        producer = self._view.producers.get(name)
        if producer is None or not self._is_move(producer):
            self._tensors[name] = None
            return name
        origin = self._round(producer.input[0])
        self._moves[name] = origin
        return origin

    def _round_result(self, node: onnx.NodeProto) -> None:
        """Plan to round a node's result, after its activation if that is the only reader."""
        name = node.output[0]
        readers = self._view.readers.get(name, [])
        if len(readers) == 1 and readers[0].op_type in ACTIVATIONS:
            name = readers[0].output[0]
        if name not in self._floating:
            self._tensors[name] = None

    def _is_on_maps(self, node: onnx.NodeProto) -> bool:
        """Whether a node has an 8-bit kernel, and reads only feature maps or pooled ones."""
        return node.op_type in ON_MAPS and all(
            name not in self._view.initializers and len(self._view.shape(name)) == FEATURE_MAP_RANK
            for name in node.input
        )

    def _is_move(self, node: onnx.NodeProto) -> bool:
        """Whether every output value of a node is one of its input values or 0."""
        if node.op_type not in MOVES or node.input[0] in self._view.initializers:
            return False
        if node.op_type == "Pad":
            value = node.input[2] if len(node.input) > 2 else ""
            return self._view.attribute(node, "mode", b"constant") == b"constant" and not value
        return len(node.output) == 1

    def _moved_to(self, name: str) -> Iterator[str]:
        """Yield the tensors from which moves and activations alone make ``name``."""
        producer = self._view.producers.get(name)
        while producer is not None and producer.op_type in (*MOVES, *ACTIVATIONS):
            yield producer.input[0]
            producer = self._view.producers.get(producer.input[0])

    def _crossing(self, infos: Sequence[onnx.ValueInfoProto]) -> list[str]:
        """Return the feature maps among inputs or outputs that are shared with other graphs."""
        own = {IMAGES, THRESHOLD, *GATE_OUTPUTS}
        return [
            info.name
            for info in infos
            if info.name not in own and len(self._view.shape(info.name)) == FEATURE_MAP_RANK
        ]

    def _edges(self) -> Iterator[tuple[str, int]]:
        for node in self._view.nodes:
            if node.output[0] in self._moves:
                continue
            is_layer = self._view.channel_axis(node) is not None
            for position, name in enumerate(node.input):
                if name in self._tensors or (is_layer and position == 1):
                    yield node.output[0], position


CPU_TARGET = QuantizationTarget(
    entry=TargetEntry(
        name="cpu",
        engine=CPU,
        assumes="products of unsigned and signed 8 bits summed in 32: x86 with VNNI, ARM with "
        "dot products; x86 without VNNI sums in 16 bits, so that ONNX Runtime is made to widen "
        "them first, which is exact and slower; for those export with --target cpu-7bit",
        elsewhere="GPUs compute most layers of it in floating point and round besides, and "
        "TensorRT does not build it; export with --target tensorrt",
    ),
    says="all convolutions, linear layers, additions, poolings, and features between graphs",
    fallbacks=("fp32",),
    prepare=prepare_cpu,
    plan=plan_cpu,
    rounding=unsigned_asymmetric,
    crosses=True,
)
TARGETS.register("cpu")(CPU_TARGET)
