"""What a multi-exit network is, as data: the part of a checkpoint that says how to build it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeexit_runtime.bundle.manifest import FINAL as FINAL

OWN = "own"
"""The token of a branch that came with the model."""

# A name becomes that of a module, of tensors and of a file of the bundle.
EXIT_NAME = re.compile(r"exit[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """A named tensor that crosses from one part of the network to another.

    ``shape`` leaves out the batch dimension: ``(channels, height, width)`` for a feature map.
    """

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExitSpec:
    """A branch: its name, the stage whose end it sits at, and its kind as a pattern writes it.

    ``branch`` is one token of a pattern such as ``4+3+2``: a level of the SE-B branch, or ``n``;
    :data:`OWN` where the model came with its branches.
    """

    name: str
    stage: str
    branch: str

    def __post_init__(self) -> None:
        if not EXIT_NAME.fullmatch(self.name):
            raise ValueError(f"name: expected exit1, exit2 and so on, got {self.name!r}")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A multi-exit network: a backbone and its branches, the final exit left out.

    Attributes:
        backbone: a registered name, or for a model that exits were attached to where it comes
            from, as ``package.module:factory``.
        num_classes: K.
        input_size: ``(channels, height, width)``.
        exits: the branches in order; without any it is the plain backbone.
        points: where a model that is not registered is cut: the module at whose end each stage
            but the last ends. Empty for registered backbones.
        outputs: of a model that has exits of its own: the paths of their logits in what it
            returns, in the order of the exits, ``final`` last. Else empty.
    """

    backbone: str
    num_classes: int
    input_size: tuple[int, int, int]
    exits: tuple[ExitSpec, ...] = ()
    points: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = self.exit_names
        if len(set(names)) != len(names):
            raise ValueError(f"exits: expected different names, got {', '.join(names)}")
        if self.outputs and len(self.outputs) != len(names):
            raise ValueError(
                f"outputs: expected one for each of {', '.join(names)}, got {len(self.outputs)}"
            )
        if self.num_classes < 2:
            raise ValueError(f"num_classes: expected 2 or more, got {self.num_classes}")

    @property
    def is_registered(self) -> bool:
        """Whether the registry can build the backbone; else only its own code can."""
        return ":" not in self.backbone

    @property
    def exit_names(self) -> tuple[str, ...]:
        """Names of all exits in order, ``final`` last."""
        return (*(exit_.name for exit_ in self.exits), FINAL)

    @property
    def pattern(self) -> str:
        """The branching pattern as the paper writes it, ``none`` for a plain backbone."""
        return "+".join(exit_.branch for exit_ in self.exits) or "none"
