"""Segments of a traced model: what they read and write in either mode, and their modules."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from edgeexit.errors import SpecError
from edgeexit.exit_steps import Nodes
from edgeexit.models.backbone import IMAGES
from edgeexit.models.tracing.flow import Flow, has_tensor
from edgeexit.models.tracing.in_place import is_in_place, make_out_of_place
from edgeexit.models.tracing.tracers import BATCHES


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """The computation of one stage or branch in one mode.

    Attributes:
        flow: the trace that it is a part of.
        nodes: the nodes to execute, in order; the weights and constants that they need are copied
            with them.
        inputs, outputs: the input and output tensors, by name and in order.
        permuted: whether to return the last output again, permuted from channels last to
            (N, C, H, W).
    """

    flow: Flow
    nodes: Sequence[fx.Node]
    inputs: Mapping[str, fx.Node]
    outputs: Mapping[str, fx.Node]
    permuted: bool = False


class Segments:
    """The segments of a trace in one mode, made one after another.

    Attributes:
        made: all segments by name.
        names: the name of each tensor that a segment may read.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.made: dict[str, Segment] = {}
        self.names = {flow.images: IMAGES}

    def add(
        self, name: str, nodes: Nodes, outputs: Mapping[str, fx.Node], permuted: bool = False
    ) -> None:
        """Make the segment ``name`` of ``nodes``; if it executes none, it passes ``outputs`` on."""
        executed = self.flow.segment(nodes)
        sources = {source for node in executed for source in node.all_input_nodes}
        read = sources - set(executed) if executed else set(outputs.values())
        inputs = {tensor: node for node, tensor in self.names.items() if node in read}
        self.made[name] = Segment(self.flow, executed, inputs, outputs, permuted)
        for tensor, node in outputs.items():
            self.names.setdefault(node, tensor)


def traced_stages(
    training: Mapping[str, Segment], evaluation: Mapping[str, Segment]
) -> dict[str, TracedStage]:
    """Return a module for each segment that shares the weights of the model.

    Raises:
        SpecError: the inputs or outputs of a segment differ between training and evaluation mode.
    """
    for name, segment in training.items():
        other = evaluation[name]
        for tensors, others in ((segment.inputs, other.inputs), (segment.outputs, other.outputs)):
            in_training, in_evaluation = _shapes(segment, tensors), _shapes(other, others)
            if in_training != in_evaluation:
                raise SpecError(
                    f"the cut around {name} is crossed by {in_training} in training and by "
                    f"{in_evaluation} in evaluation mode; choose another point"
                )
    return {name: TracedStage(segment, evaluation[name]) for name, segment in training.items()}


def _shapes(segment: Segment, tensors: Mapping[str, fx.Node]) -> dict[str, tuple[int, ...]]:
    values = segment.flow.trace.values
    return {name: tuple(values[node][0].shape) for name, node in tensors.items()}


class TracedStage(nn.Module):
    """A segment of a model, traced in training and in evaluation mode.

    It holds the modules and weights of the segment under their paths in the model and shares them
    with it. Where the model overwrites an input or output of the segment, this module makes a new
    tensor, because other parts read it, too.
    """

    def __init__(self, training: Segment, evaluation: Segment) -> None:
        super().__init__()
        builders = [_Builder(training), _Builder(evaluation)]
        targets: dict[str, Any] = {}
        for builder in builders:
            targets.update(builder.targets)
        # modules before the weights inside them, so that deeper paths find their owner
        for path in sorted(targets, key=lambda path: (path.count("."), path)):
            _adopt(self, path, *targets[path])
        forwards = [type(fx.GraphModule(self, builder.graph)).forward for builder in builders]
        self._forward_training, self._forward_evaluation = forwards

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Map one tensor per input of the stage to a tuple of outputs, or to the only output."""
        forward = self._forward_training if self.training else self._forward_evaluation
        result: tuple[Tensor, ...] = forward(self, *inputs)
        return result


class _Builder:
    """Copies the nodes of a segment into a graph of its own."""

    def __init__(self, segment: Segment) -> None:
        self.flow = segment.flow
        self.root = segment.flow.trace.root
        self.graph = fx.Graph()
        self.targets: dict[str, tuple[nn.Module, Any]] = {}
        self.copies = {node: self.graph.placeholder(name) for name, node in segment.inputs.items()}
        self.kept = set(self.copies.values())  # others read these: not to be overwritten
        self.leaving = set(segment.outputs.values())
        for node in segment.nodes:
            self._copy(node)
        results = [self.copies[node] for node in segment.outputs.values()]
        if segment.permuted:
            results.append(self.graph.call_method("permute", (results[-1], 0, 3, 1, 2)))
        self.graph.output(results[0] if len(results) == 1 else tuple(results))

    def _copy(self, node: fx.Node) -> fx.Node:
        new = self.graph.node_copy(node, self._argument)
        self.copies[node] = new
        if new.op in ("call_module", "get_attr"):
            self._note_target(new)
        self._keep(new)
        if node in self.leaving:
            self.kept.add(new)
        return new

    def _argument(self, node: fx.Node) -> Any:
        """Return the argument that represents ``node`` in the new graph."""
        if node in self.copies:
            return self.copies[node]
        first, second = self.flow.trace.values[node]
        if not has_tensor(first):
            return self._setting(node, first, second)
        if self.flow.is_on_path(node):
            raise SpecError(
                f"a buffer is updated with {node.name}, which another stage computes and does not "
                "pass on; choose another point, or update the buffer next to where it is read"
            )
        return self._copy(node)  # weights, constants, and values computed from them

    def _setting(self, node: fx.Node, first: Any, second: Any) -> Any:
        """Return a size or setting: its value, or for a multiple of the batch, that product."""
        if isinstance(first, (tuple, list)):
            return tuple(self._setting(node, *pair) for pair in zip(first, second, strict=True))
        if first == second:
            return first
        factor, rest = divmod(int(first), BATCHES[0])
        if rest or factor * BATCHES[1] != second:
            raise SpecError(
                f"the size {node.name} is no multiple of the batch: {first} for {BATCHES[0]} "
                f"images, {second} for {BATCHES[1]}; such a model cannot be cut"
            )
        batch = self.graph.call_method("size", (next(iter(self.copies.values())), 0))
        return batch if factor == 1 else self.graph.call_function(operator.mul, (batch, factor))

    def _note_target(self, node: fx.Node) -> None:
        path = str(node.target)
        parent, _, name = path.rpartition(".")
        owner = self.root.get_submodule(parent)
        # on a second call, it may already be an out-of-place copy
        self.targets.setdefault(path, (owner, getattr(owner, name)))

    def _keep(self, node: fx.Node) -> None:
        """Make a node out-of-place if it overwrites a tensor that another part reads."""
        if node.args[:1] and node.args[0] in self.kept and is_in_place(self.root, node):
            path = str(node.target)
            owner, module = self.targets.get(path, (None, None))
            module = make_out_of_place(node, module)
            if owner is not None:
                self.targets[path] = (owner, module)


def _adopt(module: nn.Module, path: str, owner: nn.Module, value: Any) -> None:
    """Put ``value``, a module or tensor of ``owner``, under ``path`` into ``module``."""
    *parents, name = path.split(".")
    for parent in parents:
        if not hasattr(module, parent):
            module.add_module(parent, nn.Module())
        module = getattr(module, parent)
    if hasattr(module, name):  # part of a module that is already registered
        return
    if isinstance(value, nn.Module):
        module.add_module(name, value)
    elif isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    elif isinstance(value, Tensor):
        stored = name in owner._buffers and name not in owner._non_persistent_buffers_set
        module.register_buffer(name, value, persistent=stored)
    else:
        setattr(module, name, value)
