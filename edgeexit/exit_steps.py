"""How a graph with several logits falls apart into stages and branches, in whatever it is written.

With the logits of M exits in the order of execution, stage k is what exit k and a later one need
and is not computed yet; branch k is what exit k alone needs of the rest. The last exit's branch is
what lies behind its last feature map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

Nodes = int
"""A set of nodes, one bit each by position in the graph: graphs have thousands of nodes."""


class Dataflow(Protocol):
    """The nodes on the way from images to logits, by their positions in the order of execution."""

    @property
    def batched(self) -> Nodes:
        """Those that give one tensor whose first dimension is the batch, but for the logits."""

    @property
    def maps(self) -> Nodes:
        """Those of :attr:`batched` whose tensor has positions: feature maps, tokens."""

    @property
    def layers(self) -> Nodes:
        """Those that multiply and accumulate."""

    def needed(self, node: int) -> Nodes:
        """Return a node and all that it is computed from."""

    def reads(self, node: int) -> Nodes:
        """Return what a node reads itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """What an exit adds to those before it.

    Attributes:
        stage: what the final exit needs, too.
        aside: what other exits need and the final one does not.
        branch: what it needs alone.
    """

    stage: Nodes
    aside: Nodes
    branch: Nodes

    @property
    def adds_stage(self) -> bool:
        """Whether there is more in it than a branch."""
        return bool(self.stage | self.aside)


def exit_steps(flow: Dataflow, outputs: Sequence[int], images: Nodes = 0) -> list[Step]:
    """Return what each exit adds.

    Args:
        flow: of the graph.
        outputs: the nodes that give the logits, in the order of execution, the final exit last.
        images: what is there before anything is computed.
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
    """Return the numbers of the outputs in orders that are worth trying, the best first.

    One goes by their depth, one by the depth at which they leave what they share. What exits cost
    is no sign: a branch may cost more than all that is behind it.
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
    """Yield the positions in a set, in the order of execution."""
    while nodes:
        lowest = nodes & -nodes
        yield lowest.bit_length() - 1
        nodes ^= lowest


def _up_to_last_map(flow: Dataflow, new: Nodes, done: Nodes) -> Nodes:
    """Return what the last exit computes up to its last tensor with positions.

    Behind it, the logits are computed from this tensor and from those of earlier stages alone.
    Without one, it is the last tensor before the logits, or else all there is.
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
    """Return the most layers one behind another in a set."""
    depths: dict[int, int] = {}
    for node in members(nodes):
        before = max((depths[source] for source in members(flow.reads(node) & nodes)), default=0)
        depths[node] = before + (flow.layers >> node & 1)
    return max(depths.values(), default=0)
