"""Dependencies in a traced model, and the tensors that cross a cut.

A cut at a node separates the nodes that it needs from all others, so that an exit never waits for
a node that it does not need.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, fx, nn

from edgeexit.exit_steps import Nodes
from edgeexit.models.tracing.in_place import is_update
from edgeexit.models.tracing.trace import Trace
from edgeexit.models.tracing.tracers import BATCHES


class Flow:
    """The order and the dependencies of a trace.

    Attributes:
        images: the node of the images.
        path: all nodes of tensors between the images and the logits.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.nodes = list(trace.graph.nodes)
        self.position = {node: number for number, node in enumerate(self.nodes)}
        (self.images,) = trace.graph.find_nodes(op="placeholder")
        self._needs: list[Nodes] = []
        self._images: Nodes = self.set_of([self.images])
        self._tensors: Nodes = 0
        for number, node in enumerate(self.nodes):
            needs = 1 << number
            from_images = bool(self._images & self.set_of(node.all_input_nodes))
            is_tensor = has_tensor(trace.values[node][0])
            for source in node.all_input_nodes:
                if has_tensor(trace.values[source][0]):  # sizes are derived from the batch
                    needs |= self._needs[self.position[source]]
            self._needs.append(needs)
            self._images |= from_images << number
            self._tensors |= is_tensor << number
        self._used = 0
        for output in trace.outputs:
            self._used |= self._needs[self.position[output]]
        self.path = self._used & self._images & self._tensors
        self._users = [self.set_of(node.users) for node in self.nodes]
        self._splits = [
            node
            for node in self.nodes
            if not isinstance(trace.values[node][0], Tensor) and has_tensor(trace.values[node][0])
        ]

    def set_of(self, nodes: Iterable[fx.Node]) -> Nodes:
        """Return different nodes as a set."""
        return sum(1 << self.position[node] for node in nodes)

    def needed(self, node: fx.Node) -> Nodes:
        """Return ``node`` and its ancestors.

        A node that splits a tensor is kept together with the nodes that select its pieces, since
        only tensors can cross a cut.
        """
        needs = self._needs[self.position[node]]
        for split in self._splits:
            if needs >> self.position[split] & 1:
                for user in split.users:
                    own = 1 << self.position[user]
                    if self._needs[self.position[user]] & ~needs == own:
                        needs |= own
        return needs

    def before(self, node: fx.Node, other: fx.Node) -> bool:
        """Whether ``other`` depends on ``node``."""
        return bool(self._needs[self.position[other]] >> self.position[node] & 1)

    def is_on_path(self, node: fx.Node) -> bool:
        """Whether a node's tensor depends on the images, and the logits on it."""
        return bool(self.path >> self.position[node] & 1)

    def members(self, nodes: Nodes) -> list[fx.Node]:
        """Return the nodes of a set that compute tensors from the images, in execution order."""
        nodes &= self._images & self._tensors
        return [node for number, node in enumerate(self.nodes) if nodes >> number & 1]

    def segment(self, nodes: Nodes) -> list[fx.Node]:
        """Return the nodes that a stage of these nodes executes.

        These are :meth:`members` and updates whose result no node reads, such as batch norm's
        counter of batches. An update belongs to the stage of the node that follows it.
        """
        chosen: list[fx.Node] = []
        updates: list[fx.Node] = []
        inside = False
        for number, node in enumerate(self.nodes):
            if is_update(node):
                updates.append(node)
            elif self.is_on_path(node) and node is not self.images:
                inside = bool(nodes >> number & 1)
                chosen += [*updates, node] if inside else []
                updates.clear()
        return chosen + (updates if inside else [])

    def readers(self, node: fx.Node) -> Nodes:
        """Return the nodes on the path to the logits that read ``node``."""
        return self._users[self.position[node]] & self.path

    def crossing(self, done: Nodes) -> list[fx.Node]:
        """Return the tensors that the nodes outside ``done`` read from those in it, in order.

        Sizes are excluded: they are constant, or derived from the batch dimension of any tensor.
        """
        left = self._used & self._tensors & ~done
        return [
            node
            for node in self.members(done)
            if isinstance(self.trace.values[node][0], Tensor)
            and left & self._users[self.position[node]]
        ]

    def weight_users(self) -> list[Nodes]:
        """Return, for each weight that several nodes use, the nodes that the logits need."""
        reached: dict[fx.Node, Nodes] = {}  # the readers of values that depend only on weights
        users: dict[str, Nodes] = {}
        for node in reversed(self.nodes):
            if self._images >> self.position[node] & 1:
                reached[node] = self.set_of([node])
            else:
                reached[node] = 0
                for user in node.users:
                    reached[node] |= reached[user]
            owned = owned_by(self.trace.root, node)
            if isinstance(owned, nn.Parameter) or (
                isinstance(owned, nn.Module) and any(True for _ in owned.parameters())
            ):
                target = str(node.target)
                users[target] = users.get(target, 0) | reached[node] & self._used
        return [nodes for nodes in users.values() if nodes.bit_count() > 1]

    def macs(self, nodes: Nodes) -> int:
        """Return the multiply-accumulates per image of a set of nodes."""
        return sum(
            count
            for node, count in self.trace.macs.items()
            if count and nodes >> self.position[node] & 1
        )


def owned_by(root: nn.Module, node: fx.Node) -> Any:
    """Return the module or tensor that a node refers to, or None."""
    if node.op not in ("call_module", "get_attr"):
        return None
    value: Any = root
    for name in str(node.target).split("."):
        value = getattr(value, name)
    return value


def has_tensor(value: Any) -> bool:
    """Whether a value is or contains a tensor, as opposed to sizes and other settings."""
    if isinstance(value, (tuple, list)):
        return any(map(has_tensor, value))
    if isinstance(value, dict):
        return any(map(has_tensor, value.values()))
    return isinstance(value, Tensor)


def has_positions(tensor: Tensor) -> bool:
    """Whether a tensor is a feature map or tokens, at more than one place."""
    return tensor.ndim >= 3 and tensor[0].numel() > max(tensor.shape[1:])


def is_batched(value: tuple[Any, Any]) -> bool:
    """Whether a value is a tensor in which only the first dimension is the batch."""
    first, second = value
    return (
        isinstance(first, Tensor)
        and isinstance(second, Tensor)
        and (first.shape[:1], second.shape[:1]) == ((BATCHES[0],), (BATCHES[1],))
        and first.shape[1:] == second.shape[1:]
    )
