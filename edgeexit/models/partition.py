"""Cut a multi-exit network into the parts that run one after another.

A part is a module with named inputs and outputs: one per stage, one per branch. Backbone stages
without a branch between them are one part. The same parts are counted, exported and run.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from edgeexit.models.backbone import IMAGES, Stage
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.spec import FINAL, FeatureInfo

__all__ = ["LOGITS", "ExitPart", "Part", "Partition", "partition"]

LOGITS = "logits"


@dataclass(frozen=True, slots=True)
class Part:
    """A module that maps one tensor per input to a tuple with one per output."""

    name: str
    module: nn.Module
    inputs: tuple[FeatureInfo, ...]
    outputs: tuple[FeatureInfo, ...]


@dataclass(frozen=True, slots=True)
class ExitPart:
    """An exit's classifier, and the name of the stage part that it sits behind."""

    stage: str
    part: Part


@dataclass(frozen=True, slots=True)
class Partition:
    """All parts of a network in the order of execution, and the plain backbone as one part."""

    stages: tuple[Part, ...]
    exits: tuple[ExitPart, ...]
    baseline: Part


class _Chain(nn.Module):
    """Backbone stages run as one: what the first reads in, what the last writes out."""

    def __init__(self, stages: list[Stage]) -> None:
        super().__init__()
        self.training = stages[0].training
        self.stages = nn.ModuleList(stages)
        self.inputs = stages[0].inputs
        self.outputs = stages[-1].outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        features = dict(zip(self.inputs, inputs, strict=True))
        for stage in self.stages:
            assert isinstance(stage, Stage)
            stage.apply_to(features)
        return tuple(features[name] for name in self.outputs)


class _Logits(nn.Module):
    """A network of one result, which comes as a tuple like every part's."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.training = network.training
        self.network = network

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        return (self.network(*features),)


def partition(net: MultiExitNet) -> Partition:
    """Return the parts of ``net``; they share its weights."""
    groups = _stage_groups(net)
    images, logits = net.features[IMAGES], FeatureInfo(LOGITS, (net.spec.num_classes,))
    stages: list[Part] = []
    exits: list[ExitPart] = []
    for exit_name, group in groups.items():
        name = f"stage{len(stages) + 1}"
        inputs = tuple(net.features[key] for key in group[0].inputs)
        outputs = tuple(net.features[key] for key in group[-1].outputs)
        stages.append(Part(name, _Chain(group), inputs, outputs))
        final = exit_name == FINAL
        classifier = net.backbone.classifier if final else net.branches[exit_name]
        part = Part(exit_name, _Logits(classifier), outputs, (logits,))
        exits.append(ExitPart(name, part))
    baseline = Part("baseline", _Logits(net.backbone), (images,), (logits,))
    return Partition(tuple(stages), tuple(exits), baseline)


def _stage_groups(net: MultiExitNet) -> dict[str, list[Stage]]:
    """Return per exit the backbone stages between the exit before it and itself."""
    exit_at = {exit_.stage: exit_.name for exit_ in net.spec.exits}
    groups: dict[str, list[Stage]] = {}
    group: list[Stage] = []
    for name, stage in net.backbone.named_stages():
        group.append(stage)
        if name in exit_at:
            groups[exit_at[name]], group = group, []
    groups[FINAL] = group
    return groups
