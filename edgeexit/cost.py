"""Cost of a multi-exit network in multiply-accumulates, and Eq. 5.

The paper's "FLOPs" are multiply-accumulates (MACs) of convolutions and fully connected layers.
Biases, batch norm, activations, pooling and the squeeze-and-excitation product are left out.
``torch.utils.flop_counter`` counts two operations per MAC of these, and of matrix products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from edgeexit.models.mode import evaluating
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.partition import Part, partition

__all__ = ["ExitCost", "NetworkCost", "average_macs", "network_cost"]


@dataclass(frozen=True, slots=True)
class ExitCost:
    """Cost of one exit, in MACs per sample.

    Attributes:
        name: the exit's name.
        backbone_macs: B_m, the backbone up to the end of the exit's stage.
        branch_macs: the exit's own classifier; for ``final`` it is part of the backbone.
        path_macs: what a sample that leaves here has paid, the brackets of Eq. 5: this exit's
            ``macs`` and the branches of all exits before it.
    """

    name: str
    backbone_macs: int
    branch_macs: int
    path_macs: int

    @property
    def macs(self) -> int:
        """f_m as Tables II and III print it: backbone up to here and this branch alone."""
        return self.backbone_macs + self.branch_macs


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """Cost of a whole network, in MACs per sample.

    Attributes:
        exits: one cost per exit in order, ``final`` last.
        stage_macs: MACs of each stage part alone, in order.
        baseline_macs: the plain backbone with its own classifier.
    """

    exits: tuple[ExitCost, ...]
    stage_macs: tuple[int, ...]
    baseline_macs: int

    @property
    def total_macs(self) -> int:
        """Backbone and all branches: "Total" in Tables II and III."""
        return self.exits[-1].path_macs


def network_cost(net: MultiExitNet) -> NetworkCost:
    """Count ``net`` for one image of its input size. Nothing is computed."""
    parts = partition(net)
    stage_macs = tuple(_count(part) for part in parts.stages)
    exits = []
    backbone_macs = branches_macs = 0
    for stage, exit_ in zip(stage_macs, parts.exits, strict=True):
        backbone_macs += stage
        branch = _count(exit_.part)
        branches_macs += branch
        exits.append(
            ExitCost(exit_.part.name, backbone_macs, branch, backbone_macs + branches_macs)
        )
    return NetworkCost(tuple(exits), stage_macs, exits[-1].macs)


def average_macs(shares: Mapping[str, float], path_macs: Mapping[str, int]) -> float:
    """Return the adaptive average cost of Eq. 5: share leaving at m times the path cost of m.

    Args:
        shares: r_m, the share of samples that leaves at each exit; they sum to one.
        path_macs: the bracket of Eq. 5 for each exit, :attr:`ExitCost.path_macs`.
    """
    return sum(share * path_macs[name] for name, share in shares.items())


def _count(part: Part) -> int:
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with evaluating(part.module), fake, torch.no_grad():
        device = next(part.module.parameters()).device
        inputs = [torch.empty(1, *info.shape, device=device) for info in part.inputs]
        with FlopCounterMode(display=False) as counter:
            part.module(*inputs)
    return int(counter.get_total_flops()) // 2
