"""A traced ONNX classifier -> its stages and branches."""

from __future__ import annotations

import math

import onnx
from edgeexit_runtime.bundle.manifest import FINAL, IMAGES, TensorInfo
from onnx import helper

from edgeexit.errors import ExportError, InputError
from edgeexit.exit_steps import Nodes, Step, exit_steps, members, probable_orders
from edgeexit.export.from_onnx.batches import BATCHES, Traced
from edgeexit.export.graphs.parts import Cut, logits_name

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def split(
    traced: Traced, logits: tuple[str, ...], names: tuple[str, ...]
) -> tuple[onnx.ModelProto, list[Cut], int]:
    """Return the model in a bundle's names, its cuts into stages and branches, and K.

    Args:
        traced: the model.
        logits: its tensors of logits (N, K), in the order of execution, the final exit last.
        names: the names of the outputs, for messages.

    Raises:
        InputError: an exit adds no stage to the exits before it.
        ExportError: a tensor that crosses between parts is not float32, or its first dimension is
            not the batch.
    """
    flow = _Flow(traced, logits)
    outputs = [flow.producer[name] for name in logits]
    steps = exit_steps(flow, outputs)
    _check_steps(flow, outputs, steps, names)
    exits = [*(f"exit{number}" for number in range(1, len(logits))), FINAL]
    renamed = {IMAGES: IMAGES}
    cuts = []
    for number, (exit_name, step) in enumerate(zip(exits, steps, strict=True), start=1):
        stage, nodes = f"stage{number}", step.stage | step.aside
        inputs = flow.read(nodes, renamed)
        handed = [*flow.handed_on(nodes, logits, stage)]
        renamed.update(
            (name, f"{stage}_out{'' if count == 1 else count}")
            for count, name in enumerate(handed, start=1)
        )
        reads = flow.read(step.branch, renamed) if step.branch else [logits[number - 1]]
        tensors = [
            tuple(flow.info(name, renamed[name]) for name in part)
            for part in (inputs, handed, reads)
        ]
        cuts.append(Cut(stage, exit_name, *tensors))
    (num_classes,) = traced.shapes[logits[-1]][0][1:]
    model = _renamed(traced.model, renamed, dict(zip(exits, logits, strict=True)))
    return model, cuts, num_classes


class _Flow:
    """An ONNX graph in the form that :mod:`edgeexit.exit_steps` reads."""

    def __init__(self, traced: Traced, logits: tuple[str, ...]) -> None:
        self._traced = traced
        self._nodes = list(traced.model.graph.node)
        self.producer = {
            name: number
            for number, node in enumerate(self._nodes)
            for name in node.output
            if name in traced.path
        }
        self._reads: list[Nodes] = []
        self._needs: list[Nodes] = []
        self.batched = self.maps = self.layers = 0
        for number, node in enumerate(self._nodes):
            reads, needs = 0, 1 << number
            for source in {self.producer[name] for name in node.input if name in self.producer}:
                reads |= 1 << source
                needs |= self._needs[source]
            self._reads.append(reads)
            self._needs.append(needs)
            name = node.output[0] if len(node.output) == 1 else ""
            self.layers |= (node.op_type in LAYERS) << number
            if name in traced.path and name != logits[-1] and self._is_batched(name):
                shape = traced.shapes[name][0][1:]
                has_positions = len(shape) > 1 and math.prod(shape) > max(shape)
                self.batched |= 1 << number
                self.maps |= has_positions << number

    def needed(self, node: int) -> Nodes:
        return self._needs[node]

    def reads(self, node: int) -> Nodes:
        return self._reads[node]

    def read(self, nodes: Nodes, known: dict[str, str]) -> list[str]:
        """Return the tensors of earlier parts that a set of nodes reads, in a fixed order."""
        read = {name for number in members(nodes) for name in self._nodes[number].input}
        own = {name for number in members(nodes) for name in self._nodes[number].output}
        return [name for name in known if name in read - own]

    def handed_on(self, nodes: Nodes, logits: tuple[str, ...], stage: str) -> list[str]:
        """Return the tensors of a stage that other parts read."""
        elsewhere = {
            name
            for number, node in enumerate(self._nodes)
            if not nodes >> number & 1
            for name in node.input
        }
        handed = [
            name
            for number in members(nodes)
            for name in self._nodes[number].output
            if name in elsewhere or name in logits
        ]
        for name in handed:
            if not self._is_batched(name):
                raise ExportError(
                    f"{name} crosses the end of {stage} and is not a float32 tensor whose first "
                    f"dimension is the batch: {self._traced.shapes[name][0]} for a batch of "
                    f"{BATCHES[0]}; write the model so that it reshapes it where it is read"
                )
        return handed

    def info(self, name: str, called: str) -> TensorInfo:
        return TensorInfo(called, "float32", self._traced.shapes[name][0][1:])

    def _is_batched(self, name: str) -> bool:
        first, second = self._traced.shapes[name]
        return (
            name in self._traced.floating
            and first[:1] == BATCHES[:1]
            and second[:1] == BATCHES[1:]
            and first[1:] == second[1:]
        )


def _check_steps(
    flow: _Flow, outputs: list[int], steps: list[Step], names: tuple[str, ...]
) -> None:
    if len(set(outputs)) < len(outputs):
        raise InputError(f"outputs {','.join(names)}: two of them are the same tensor")
    idle = [name for name, step in zip(names, steps, strict=True) if not step.adds_stage]
    if not idle:
        return
    orders = [
        ",".join(names[number] for number in order)
        for order in probable_orders(flow, outputs)
        if all(step.adds_stage for step in exit_steps(flow, [outputs[n] for n in order]))
    ]
    advice = (
        f"give the outputs in the order of execution, the final exit last, for example {orders[0]}"
        if orders
        else f"omit {' and '.join(idle)}"
    )
    raise InputError(
        f"outputs: {' and '.join(idle)} add no stage to the exits before: the features that they "
        f"read are computed already; {advice}"
    )


def _renamed(
    model: onnx.ModelProto, names: dict[str, str], logits: dict[str, str]
) -> onnx.ModelProto:
    """Return the model with a bundle's names for crossing tensors, and logits as own tensors."""
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    del model.graph.output[:]
    for exit_name, name in logits.items():
        given = logits_name(exit_name)
        model.graph.node.append(helper.make_node("Identity", [names.get(name, name)], [given]))
        model.graph.output.append(
            helper.make_tensor_value_info(given, onnx.TensorProto.FLOAT, None)
        )
    return onnx.shape_inference.infer_shapes(model)
