"""Cost of a multi-exit network: multiply-accumulates, Eq. 5, and the bytes of each part.

The paper's "FLOPs" are multiply-accumulates (MACs) of convolutions and fully connected layers.
Biases, batch norm, activations, pooling and the squeeze-and-excitation product are not counted.
:mod:`edgeexit.cost.operators` counts these layers and matrix products. Bytes are counted because
MACs alone do not explain time: on ResNet-18, the flattened classifiers of the paper's branches have
100 MB of weights each, read for every image at batch 1, but only a tenth of the branch's MACs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from edgeexit.cost.exits import ExitCosts, exit_costs
from edgeexit.cost.operators import FP32_BYTES, count_operators
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.partition import Part, Partition, partition


@dataclass(frozen=True, slots=True)
class PartCost:
    """Cost of one stage or branch by itself, for one image; bytes are those of FP32 values.

    Attributes:
        name: the part's name, ``stage1`` and so on, or the exit's.
        macs: multiply-accumulates.
        parameters: number of values of all its parameters; a shared parameter counts once.
        weight_bytes: parameters and floating-point buffers that are read in evaluation mode, each
            counted once.
        activation_bytes: bytes that its operators read and write besides weights, summed over the
            operators that torch runs in evaluation mode, with batch norm and activation functions
            as operators of their own. An engine that fuses operators moves fewer. Views count 0.
        output_bytes: the output tensors of the part.
        uncounted: names of arithmetic operators that ``macs`` does not include and the paper's
            definition does not exclude, sorted. If there are any, ``macs`` is too low.
    """

    name: str
    macs: int
    parameters: int
    weight_bytes: int
    activation_bytes: int
    output_bytes: int
    uncounted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NetworkCost(ExitCosts):
    """Cost of a whole network, per sample.

    Attributes:
        stages: cost of each stage part by itself, in order.
        branches: cost of each exit's classifier by itself, in order; that of ``final`` is the
            backbone's.
    """

    stages: tuple[PartCost, ...]
    branches: tuple[PartCost, ...]

    @property
    def total_macs(self) -> int:
        """Backbone and all branches: "Total" in Tables II and III."""
        return self.exits[-1].path_macs

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of operators in any part that its MACs should include but do not, sorted."""
        return tuple(sorted({name for p in (*self.stages, *self.branches) for name in p.uncounted}))


def network_cost(net: MultiExitNet) -> NetworkCost:
    """Count ``net`` for one image of its input size. Nothing is computed."""
    return partition_cost(partition(net))


def partition_cost(parts: Partition) -> NetworkCost:
    """Count a partitioned network; otherwise the same as :func:`network_cost`."""
    device = next(parts.baseline.module.parameters()).device  # single parts may have no weights
    stages = tuple(_part_cost(part, device) for part in parts.stages)
    branches = tuple(_part_cost(exit_, device) for exit_ in parts.exits)
    exits = exit_costs(
        [branch.name for branch in branches],
        [stage.macs for stage in stages],
        [branch.macs for branch in branches],
    )
    plain = _part_cost(parts.baseline, device).macs
    return NetworkCost(exits, stages, branches, plain_macs=plain)


def _part_cost(part: Part, device: torch.device) -> PartCost:
    counted = count_operators(part.module, [(1, *info.shape) for info in part.inputs], device)
    return PartCost(
        name=part.name,
        macs=counted.macs,
        parameters=sum(parameter.numel() for parameter in part.module.parameters()),
        weight_bytes=counted.weight_bytes,
        activation_bytes=counted.activation_bytes,
        output_bytes=sum(FP32_BYTES * math.prod(info.shape) for info in part.outputs),
        uncounted=counted.uncounted,
    )
