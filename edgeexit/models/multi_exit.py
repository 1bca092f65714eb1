"""The multi-exit network: a backbone in stages, with branches behind them (Eq. 1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeexit.errors import SpecError
from edgeexit.models.backbone import Backbone
from edgeexit.models.mode import evaluating, shapes_alone
from edgeexit.models.registry import BranchSite, backbone_entry, branch_entry, create_branch
from edgeexit.models.spec import FINAL, FeatureInfo, ModelSpec, exit_specs
from edgeexit.scores import SOFTMAX

PAPER_PATTERNS = {2: "3+1", 3: "4+3+2", 4: "4+3+2+1", 6: "3+3+2+2+1+1"}
"""The paper's recommended patterns by number of branches: fewer blocks later (Section V-C)."""


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """The classifier of an early exit: its module, and the names of its input tensors."""

    module: nn.Module
    inputs: tuple[str, ...]


class MultiExitNet(nn.Module):
    """A network that returns one logits tensor per exit, by the exit's name.

    Args:
        spec: the network to build.
        backbone: the backbone for the branches; by default, the registered one of ``spec``.
        branches: by exit name, if the model has its own; by default, new ones are built.

    Attributes:
        temperatures: divisors of the logits, by exit name; 1 for exits not listed. Guo et al.,
            On Calibration of Modern Neural Networks, https://arxiv.org/abs/1706.04599.
        score: measures how confident an exit is; see :mod:`edgeexit.scores`.
        notes: remarks on the model that the network was made from, one line each.

    Raises:
        UnknownNameError: no backbone has the name in ``spec``.
        SpecError: the branches or the input size do not fit the backbone.

    Example:
        >>> spec = make_spec("resnet20", "3+1", num_classes=10)
        >>> logits = MultiExitNet(spec)(torch.zeros(8, 3, 32, 32))
        >>> {name: tuple(tensor.shape) for name, tensor in logits.items()}
        {'exit1': (8, 10), 'exit2': (8, 10), 'final': (8, 10)}
    """

    def __init__(
        self,
        spec: ModelSpec,
        backbone: Backbone | None = None,
        branches: Mapping[str, Branch] | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.temperatures: dict[str, float] = {}
        self.score = SOFTMAX
        self.notes: tuple[str, ...] = ()
        self.backbone = backbone or backbone_entry(spec.backbone).build(
            spec.num_classes, spec.input_size
        )
        self.features = self._feature_infos()
        self._check_stages()
        own = self._new_branches() if branches is None else branches
        self.branches = nn.ModuleDict({name: branch.module for name, branch in own.items()})
        self._reads = {name: branch.inputs for name, branch in own.items()}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map images (N, C, H, W) to logits (N, K) per exit, in order, ``final`` last."""
        return self.logits(images, self.spec.exit_names)

    def logits(self, images: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Map images (N, C, H, W) to the logits (N, K) of some exits, in their order.

        Stages behind the last of these exits do not run.
        """
        wanted = [exit_ for exit_ in self.spec.exits if exit_.name in names]
        last = None if FINAL in names or not wanted else wanted[-1].stage
        features = self.backbone.extract(images, last)
        logits: dict[str, Tensor] = {}
        for exit_ in wanted:
            read = (features[name] for name in self._reads[exit_.name])
            logits[exit_.name] = self.branches[exit_.name](*read)
        if FINAL in names:
            logits[FINAL] = self.backbone.classify(features)
        return {
            name: tensor / self.temperatures[name] if name in self.temperatures else tensor
            for name, tensor in logits.items()
        }

    def exit_inputs(self, name: str) -> tuple[str, ...]:
        """Return the names of the tensors that an exit's classifier reads."""
        return self.backbone.classifier_inputs if name == FINAL else self._reads[name]

    def _new_branches(self) -> dict[str, Branch]:
        """Build the branches of the pattern; each reads the last output of its stage."""
        stages = dict(self.backbone.named_stages())
        reads = {exit_.name: stages[exit_.stage].outputs[-1] for exit_ in self.spec.exits}
        branches = {}
        for exit_ in self.spec.exits:
            read, last = reads[exit_.name], reads[self.spec.exits[-1].name]
            site = BranchSite(self.features[read], self.features[last], self.spec.num_classes)
            branches[exit_.name] = Branch(create_branch(exit_.branch, site), (read,))
        return branches

    def _check_stages(self) -> None:
        """Check that exits follow the order of stages, with only ``final`` behind the last."""
        stages = [name for name, _ in self.backbone.named_stages()]
        asked = [exit_.stage for exit_ in self.spec.exits]
        unknown = [stage for stage in asked if stage not in stages]
        if unknown:
            raise SpecError(
                f"{self.spec.backbone} has no stage {unknown[0]!r} for a branch; it has "
                f"{', '.join(stages)}"
            )
        if asked != [stage for stage in stages[:-1] if stage in asked]:
            raise SpecError(
                f"exits behind {', '.join(asked)}: expected different stages in the order of "
                f"{self.spec.backbone}, of {', '.join(stages[:-1])}"
            )

    def _feature_infos(self) -> dict[str, FeatureInfo]:
        """Return every tensor between stages by name; only shapes are propagated."""
        spec, backbone = self.spec, self.backbone
        device = next(backbone.parameters()).device
        try:
            with evaluating(backbone), shapes_alone(), torch.no_grad():
                features = backbone.extract(torch.empty(1, *spec.input_size, device=device))
        except RuntimeError as error:
            raise SpecError(
                f"{spec.backbone} cannot read images of {spec.input_size}: {str(error).strip()}"
            ) from error
        return {name: FeatureInfo(name, tuple(t.shape[1:])) for name, t in features.items()}


def make_spec(
    backbone: str,
    branches: str,
    num_classes: int,
    input_size: tuple[int, int, int] | None = None,
) -> ModelSpec:
    """Return the specification of a registered backbone with the branching pattern ``branches``.

    Args:
        backbone: a registered name.
        branches: levels joined by ``+`` as the paper writes them, one per branching point
            (``4+3+2``, ``n+2+3``), or ``none`` for the plain backbone.
        num_classes: number of classes, K.
        input_size: ``(channels, height, width)``; by default, the backbone's own.

    Raises:
        UnknownNameError: no backbone has that name.
        SpecError: the number of branches differs from the backbone's number of branching points,
            or a token is unknown.
    """
    entry = backbone_entry(backbone)
    size = input_size or entry.input_size
    if num_classes < 2:
        raise SpecError(f"a classifier needs at least 2 classes, got {num_classes}")
    tokens = pattern_tokens(branches)
    if not tokens:
        return ModelSpec(backbone, num_classes, size)
    with torch.device("meta"):  # only the names are needed
        points = entry.build(num_classes, entry.input_size).exit_stages
    if len(tokens) != len(points):
        raise SpecError(
            f"branches {branches!r}: {backbone} has {len(points)} branching points "
            f"({', '.join(points)}), got {len(tokens)}; "
            f"write for example {example_pattern(len(points))}"
        )
    return ModelSpec(backbone, num_classes, size, exit_specs(points, tokens))


def example_pattern(count: int) -> str:
    """Return a pattern with ``count`` branches, the paper's if there is one."""
    levels = "+".join(str(level) for level in range(count, 0, -1)) or "none"
    return PAPER_PATTERNS.get(count, levels)


def pattern_tokens(branches: str) -> tuple[str, ...]:
    """Return the tokens of a branching pattern such as ``4+3+2``; ``none`` has none.

    Raises:
        SpecError: a token is unknown.
    """
    tokens = () if branches == "none" else tuple(branches.split("+"))
    for token in tokens:
        branch_entry(token)
    return tokens
