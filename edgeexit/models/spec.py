"""The specification of a multi-exit network: the part of a checkpoint that says how to build it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from edgeexit_runtime.bundle.manifest import FINAL as FINAL

OWN = "own"
"""The token of a branch that came with the model."""

# Names of exits are used for modules, tensors and files of the bundle.
EXIT_NAME = re.compile(r"exit[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """A named tensor passed from one part of the network to another.

    ``shape`` excludes the batch dimension: ``(channels, height, width)`` for a feature map.
    """

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExitSpec:
    """A branch: its name, the stage that it follows, and its pattern token.

    ``branch`` is one token of a pattern such as ``4+3+2``: a level of the SE-B branch, ``n``, or
    :data:`OWN` if the model came with its branches.
    """

    name: str
    stage: str
    branch: str

    def __post_init__(self) -> None:
        if not EXIT_NAME.fullmatch(self.name):
            raise ValueError(f"name: expected exit1, exit2 and so on, got {self.name!r}")


def exit_specs(stages: Iterable[str], branches: Iterable[str]) -> tuple[ExitSpec, ...]:
    """Return the exits behind ``stages``, in order, with a branch each."""
    return tuple(
        ExitSpec(f"exit{number}", stage, branch)
        for number, (stage, branch) in enumerate(zip(stages, branches, strict=True), start=1)
    )


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A multi-exit network: a backbone and its branches, without the final exit.

    Attributes:
        backbone: a registered name, or the origin of a model that is not registered, as
            ``package.module:factory``.
        num_classes: K.
        input_size: ``(channels, height, width)``.
        exits: the branches in order; empty for the plain backbone.
        points: where a model that is not registered is cut: for each stage but the last, the
            module at whose end the stage ends. Empty for registered backbones.
        outputs: for a model that has exits of its own, the paths of their logits in what it
            returns, in the order of the exits, ``final`` last. Otherwise empty.
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
        """Whether the registry can build the backbone; otherwise only its own code can."""
        return ":" not in self.backbone

    @property
    def exit_names(self) -> tuple[str, ...]:
        """Names of all exits in order, ``final`` last."""
        return (*(exit_.name for exit_ in self.exits), FINAL)

    @property
    def pattern(self) -> str:
        """The branching pattern as the paper writes it, ``none`` for a plain backbone."""
        return "+".join(exit_.branch for exit_ in self.exits) or "none"
