"""Cut a multi-exit network into parts that run one after another.

A part is a module with named inputs and outputs: one per stage and one per branch. Backbone stages
without a branch between them form one part. The same parts are counted, exported and run.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor, nn

from edgeexit.models.backbone import IMAGES, Stage
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.spec import FINAL, FeatureInfo

LOGITS = "logits"


@dataclass(frozen=True, slots=True)
class Part:
    """A module that maps one tensor per input to a tuple of one tensor per output."""

    name: str
    module: nn.Module
    inputs: tuple[FeatureInfo, ...]
    outputs: tuple[FeatureInfo, ...]


@dataclass(frozen=True, slots=True)
class Partition:
    """All parts of a network in execution order, and the plain backbone as one part.

    Behind each stage is one exit: its classifier.
    """

    stages: tuple[Part, ...]
    exits: tuple[Part, ...]
    baseline: Part


class _Chain(nn.Module):
    """Backbone stages run as one; only tensors that other parts read are returned."""

    def __init__(
        self, stages: list[Stage], inputs: tuple[str, ...], outputs: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.training = stages[0].training
        self.stages = nn.ModuleList(stages)
        self.inputs = inputs
        self.outputs = outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        features = dict(zip(self.inputs, inputs, strict=True))
        for stage in self.stages:
            assert isinstance(stage, Stage)
            stage.apply_to(features)
        return tuple(features[name] for name in self.outputs)


class _Logits(nn.Module):
    """A network with one output, returned as a tuple like every part's."""

    def __init__(self, network: nn.Module, temperature: float | None) -> None:
        super().__init__()
        self.training = network.training
        self.network = network
        self.temperature = temperature

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        logits: Tensor = self.network(*features)
        return (logits if self.temperature is None else logits / self.temperature,)


def partition(net: MultiExitNet) -> Partition:
    """Return the parts of ``net``; they share its weights."""
    groups = _stage_groups(net)
    logits = FeatureInfo(LOGITS, (net.spec.num_classes,))
    stages: list[Part] = []
    exits: list[Part] = []
    for number, (exit_, group) in enumerate(groups.items()):
        later = list(groups)[number:]
        needed = {tensor for name in later for tensor in net.exit_inputs(name)}
        needed.update(tensor for name in later[1:] for tensor in _inputs(groups[name]))
        inputs, outputs = _inputs(group), _outputs(group, needed)
        chain = _Chain(group, inputs, outputs)
        stages.append(Part(f"stage{number + 1}", chain, _infos(net, inputs), _infos(net, outputs)))
        classifier = net.backbone.classifier if exit_ == FINAL else net.branches[exit_]
        module = _Logits(classifier, net.temperatures.get(exit_))
        exits.append(Part(exit_, module, _infos(net, net.exit_inputs(exit_)), (logits,)))
    plain = _Logits(net.backbone, net.temperatures.get(FINAL))
    baseline = Part("baseline", plain, (net.features[IMAGES],), (logits,))
    return Partition(tuple(stages), tuple(exits), baseline)


def _stage_groups(net: MultiExitNet) -> dict[str, list[Stage]]:
    """Return, for each exit, the backbone stages between the previous exit and it."""
    exit_at = {exit_.stage: exit_.name for exit_ in net.spec.exits}
    groups: dict[str, list[Stage]] = {}
    group: list[Stage] = []
    for name, stage in net.backbone.named_stages():
        group.append(stage)
        if name in exit_at:
            groups[exit_at[name]], group = group, []
    groups[FINAL] = group
    return groups


def _inputs(group: list[Stage]) -> tuple[str, ...]:
    """Return the tensors that a group of stages reads and does not write."""
    written = {name for stage in group for name in stage.outputs}
    read = dict.fromkeys(name for stage in group for name in stage.inputs)
    return tuple(name for name in read if name not in written)


def _outputs(group: list[Stage], needed: Collection[str]) -> tuple[str, ...]:
    """Return the tensors that a group of stages writes and this exit or a later part reads."""
    return tuple(name for stage in group for name in stage.outputs if name in needed)


def _infos(net: MultiExitNet, names: tuple[str, ...]) -> tuple[FeatureInfo, ...]:
    return tuple(net.features[name] for name in names)
