"""Split a graph with several logits into stages and branches, whatever format it is in.

Given the logits of M exits in execution order, stage k is the nodes that both exit k and a later
exit need and that no earlier stage computes. Branch k is the remaining nodes that only exit k
needs. The last exit's branch starts behind its last feature map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

Nodes = int
"""A set of nodes as a bit mask over positions in the graph, which may have thousands of nodes."""


class Dataflow(Protocol):
    """The nodes between images and logits, by position in execution order."""

    @property
    def batched(self) -> Nodes:
        """Nodes with one output tensor whose first dimension is the batch; logits excluded."""

    @property
    def maps(self) -> Nodes:
        """Nodes of :attr:`batched` whose tensor has positions: feature maps or tokens."""

    @property
    def layers(self) -> Nodes:
        """Nodes that multiply and accumulate."""

    def needed(self, node: int) -> Nodes:
        """Return a node and all of its ancestors."""

    def reads(self, node: int) -> Nodes:
        """Return the direct inputs of a node."""


@dataclass(frozen=True, slots=True)
class Step:
    """The nodes that an exit adds to those of the exits before it.

    Attributes:
        stage: nodes that the final exit needs, too.
        aside: nodes that other exits need, but not the final one.
        branch: nodes that only this exit needs.
    """

    stage: Nodes
    aside: Nodes
    branch: Nodes

    @property
    def adds_stage(self) -> bool:
        """Whether the exit adds more than a branch."""
        return bool(self.stage | self.aside)


def exit_steps(flow: Dataflow, outputs: Sequence[int], images: Nodes = 0) -> list[Step]:
    """Return the nodes that each exit adds.

    Args:
        flow: the graph's dataflow.
        outputs: the nodes that produce the logits, in execution order, the final exit last.
        images: the nodes that are available before anything is computed.
    """
    needs = [flow.needed(node) for node in outputs]
    done = images
    steps = []
    for number, own in enumerate(needs):
        later = 0
        for nodes in needs[number + 1 :]:
            later |= nodes
        new = own & ~done
        shared = new & later if number < len(needs) - 1 else _up_to_last_map(flow, new, done)
        steps.append(Step(shared & needs[-1], shared & ~needs[-1], new & ~shared))
        done |= shared
    return steps


def probable_orders(flow: Dataflow, outputs: Sequence[int]) -> list[list[int]]:
    """Return orders of the outputs, by number, that are worth trying, the most probable first.

    The first sorts by depth, the second by the depth of the part shared with other outputs. The
    cost of an exit is no indication: a branch may cost more than everything behind it.
    """
    needs = [flow.needed(node) for node in outputs]
    own = [_depth(flow, nodes) for nodes in needs]
    shared = []
    for number, nodes in enumerate(needs):
        others = 0
        for other, read in enumerate(needs):
            others |= read if other != number else 0
        shared.append(_depth(flow, nodes & others))
    numbers = range(len(needs))
    by_depth = sorted(numbers, key=lambda number: own[number])
    return [by_depth, sorted(numbers, key=lambda number: (shared[number], own[number]))]


def members(nodes: Nodes) -> Iterator[int]:
    """Yield the positions in a set, in execution order."""
    while nodes:
        lowest = nodes & -nodes
        yield lowest.bit_length() - 1
        nodes ^= lowest


def _up_to_last_map(flow: Dataflow, new: Nodes, done: Nodes) -> Nodes:
    """Return the nodes of the last exit up to its last tensor with positions.

    Behind this tensor, the logits depend only on it and on tensors of earlier stages. If there is
    none, the nodes up to the last such tensor without positions are returned, or else ``new``.
    """
    nearest = 0
    for node in reversed([*members(new & flow.batched)]):
        before = flow.needed(node) & new
        read = 0
        for behind in members(new & ~before):
            read |= flow.reads(behind)
        if read & before & ~(1 << node):
            continue
        if flow.maps >> node & 1:
            return before
        nearest = nearest or before
    return nearest or new


def _depth(flow: Dataflow, nodes: Nodes) -> int:
    """Return the largest number of layers on a path within a set."""
    depths: dict[int, int] = {}
    for node in members(nodes):
        before = max((depths[source] for source in members(flow.reads(node) & nodes)), default=0)
        depths[node] = before + (flow.layers >> node & 1)
    return max(depths.values(), default=0)
