"""Cost of a multi-exit network: multiply-accumulates, Eq. 5, and the bytes of each part.

The paper's "FLOPs" are multiply-accumulates (MACs) of convolutions and fully connected layers.
Biases, batch norm, activations, pooling and the squeeze-and-excitation product are left out.
:mod:`edgeexit.cost.operators` counts these, and matrix products. Bytes are there because MACs alone
do not explain time: at batch 1 the flattened classifiers of the paper's branches are 100 MB of
weights each on ResNet-18, read once per image for a tenth of the branch's MACs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from edgeexit_runtime import Manifest

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
        weight_bytes: parameters and floating buffers that it reads, each once. What is not read
            in evaluation mode is not among them.
        activation_bytes: what its operators read and write besides weights, operator by operator
            as torch runs them in evaluation mode, batch norm and activation functions each on
            their own. An engine that fuses operators moves fewer. Views move nothing.
        output_bytes: the tensors that leave the part.
        uncounted: operators that do arithmetic which ``macs`` does not include and the paper's
            definition does not leave out, by name, sorted. Where there are any, ``macs`` is too
            low.
    """

    name: str
    macs: int
    parameters: int
    weight_bytes: int
    activation_bytes: int
    output_bytes: int
    uncounted: tuple[str, ...]


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
class ExitCosts:
    """What samples pay, in MACs: all that Eq. 5 needs.

    Attributes:
        exits: one cost per exit in order, ``final`` last.
        plain_macs: the plain backbone, where parts of a stage serve early exits alone.
    """

    exits: tuple[ExitCost, ...]
    plain_macs: int | None = field(default=None, kw_only=True)

    @property
    def baseline_macs(self) -> int:
        """The plain backbone with its own classifier."""
        return self.exits[-1].macs if self.plain_macs is None else self.plain_macs


@dataclass(frozen=True, slots=True)
class NetworkCost(ExitCosts):
    """Cost of a whole network, per sample.

    Attributes:
        stages: each stage part alone, in order.
        branches: the classifier of each exit alone, in order; that of ``final`` is the backbone's.
    """

    stages: tuple[PartCost, ...]
    branches: tuple[PartCost, ...]

    @property
    def stage_macs(self) -> tuple[int, ...]:
        """MACs of each stage part alone, in order."""
        return tuple(stage.macs for stage in self.stages)

    @property
    def total_macs(self) -> int:
        """Backbone and all branches: "Total" in Tables II and III."""
        return self.exits[-1].path_macs

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Operators of any part that its MACs should include and do not, by name, sorted."""
        return tuple(sorted({name for p in (*self.stages, *self.branches) for name in p.uncounted}))


def network_cost(net: MultiExitNet) -> NetworkCost:
    """Count ``net`` for one image of its input size. Nothing is computed."""
    return partition_cost(partition(net))


def partition_cost(parts: Partition) -> NetworkCost:
    """Count a network that is cut already, else as :func:`network_cost`."""
    device = next(parts.baseline.module.parameters()).device  # a part may have no weights to tell
    stages = tuple(_part_cost(part, device) for part in parts.stages)
    branches = tuple(_part_cost(exit_.part, device) for exit_ in parts.exits)
    exits = []
    backbone_macs = branches_macs = 0
    for stage, branch in zip(stages, branches, strict=True):
        backbone_macs += stage.macs
        branches_macs += branch.macs
        exits.append(
            ExitCost(branch.name, backbone_macs, branch.macs, backbone_macs + branches_macs)
        )
    plain = _part_cost(parts.baseline, device).macs
    return NetworkCost(tuple(exits), stages, branches, plain_macs=plain)


def bundle_costs(manifest: Manifest) -> ExitCosts:
    """Return what a bundle's exits cost in MACs."""
    return ExitCosts(
        tuple(
            ExitCost(exit_.name, exit_.backbone_macs, exit_.branch_macs, exit_.path_macs)
            for exit_ in manifest.exits
        ),
        plain_macs=None if manifest.baseline is None else manifest.baseline.path_macs,
    )


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
