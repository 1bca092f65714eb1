"""A segment of a traced model as a module."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from edgeexit.errors import SpecError
from edgeexit.models.tracing.flow import has_tensor
from edgeexit.models.tracing.in_place import is_in_place, make_out_of_place
from edgeexit.models.tracing.tracers import BATCHES


@dataclass(frozen=True, slots=True, eq=False)
class StageGraph:
    """The computation of one stage in one mode.

    Attributes:
        root: owns the modules and tensors that the nodes refer to.
        nodes: the nodes to execute, in order; the weights and constants that they need are copied
            with them.
        inputs, outputs: the stage's input and output tensors, by name and in order.
        values: the value of every node at the two batch sizes.
        path: all tensors between the images and the logits, in this stage and others.
        permuted: whether to return the last output again, permuted from channels last to
            (N, C, H, W).
    """

    root: nn.Module
    nodes: Sequence[fx.Node]
    inputs: Mapping[str, fx.Node]
    outputs: Mapping[str, fx.Node]
    values: Mapping[fx.Node, tuple[Any, Any]]
    path: Collection[fx.Node]
    permuted: bool


class TracedStage(nn.Module):
    """A segment of a model, traced in training and in evaluation mode.

    It holds the modules and weights of the segment under their paths in the model and shares them
    with it. Where the model overwrites an input or output of the segment, this module makes a new
    tensor, because other parts read it, too.
    """

    def __init__(self, training: StageGraph, evaluation: StageGraph) -> None:
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
    """Copies the nodes of a stage into a graph of its own."""

    def __init__(self, stage: StageGraph) -> None:
        self.stage = stage
        self.graph = fx.Graph()
        self.targets: dict[str, tuple[nn.Module, Any]] = {}
        self.copies = {node: self.graph.placeholder(name) for name, node in stage.inputs.items()}
        self.incoming = dict(self.copies)
        self.kept = set(self.incoming.values())  # others read these: not to be overwritten
        self.leaving = set(stage.outputs.values())
        for node in stage.nodes:
            self._copy(node)
        results = [self.copies[node] for node in stage.outputs.values()]
        if stage.permuted:
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
        first, second = self.stage.values[node]
        if not has_tensor(first):
            return self._setting(node, first, second)
        if node in self.stage.path:
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
        batch = self.graph.call_method("size", (next(iter(self.incoming.values())), 0))
        return batch if factor == 1 else self.graph.call_function(operator.mul, (batch, factor))

    def _note_target(self, node: fx.Node) -> None:
        path = str(node.target)
        parent, _, name = path.rpartition(".")
        owner = self.stage.root.get_submodule(parent)
        # on a second call, it may already be an out-of-place copy
        self.targets.setdefault(path, (owner, getattr(owner, name)))

    def _keep(self, node: fx.Node) -> None:
        """Make a node out-of-place if it overwrites a tensor that another part reads."""
        if node.args[:1] and node.args[0] in self.kept and is_in_place(self.stage.root, node):
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
