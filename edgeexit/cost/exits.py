"""The cost of the path to each exit, in MACs; see :mod:`edgeexit.cost.network`."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeexit_runtime import Manifest


@dataclass(frozen=True, slots=True)
class ExitCost:
    """Cost of one exit, in MACs per sample.

    Attributes:
        name: the exit's name.
        backbone_macs: B_m, the backbone up to the end of the exit's stage.
        branch_macs: the exit's own classifier; for ``final`` it is part of the backbone.
        path_macs: cost of a sample that leaves here, the brackets of Eq. 5: this exit's ``macs``
            and the branches of all exits before it.
    """

    name: str
    backbone_macs: int
    branch_macs: int
    path_macs: int

    @property
    def macs(self) -> int:
        """f_m of Tables II and III: the backbone up to here and only this branch."""
        return self.backbone_macs + self.branch_macs


@dataclass(frozen=True, slots=True)
class ExitCosts:
    """The costs that Eq. 5 needs, in MACs per sample.

    Attributes:
        exits: one cost per exit in order, ``final`` last.
        plain_macs: the plain backbone, which is cheaper if parts of a stage serve only early exits;
            None for the cost of ``final``.
    """

    exits: tuple[ExitCost, ...]
    plain_macs: int | None = field(default=None, kw_only=True)

    @property
    def baseline_macs(self) -> int:
        """The plain backbone with its own classifier."""
        return self.exits[-1].macs if self.plain_macs is None else self.plain_macs


def exit_costs(
    names: Sequence[str], stage_macs: Sequence[int], branch_macs: Sequence[int]
) -> tuple[ExitCost, ...]:
    """Return the cost of each exit from the costs of stages and branches."""
    backbone, branches = accumulate(stage_macs), accumulate(branch_macs)
    return tuple(
        ExitCost(name, up_to_here, branch, up_to_here + paid)
        for name, up_to_here, branch, paid in zip(
            names, backbone, branch_macs, branches, strict=True
        )
    )


def bundle_costs(manifest: Manifest) -> ExitCosts:
    """Return the costs of a bundle's exits in MACs."""
    return ExitCosts(
        tuple(
            ExitCost(exit_.name, exit_.backbone_macs, exit_.branch_macs, exit_.path_macs)
            for exit_ in manifest.exits
        ),
        plain_macs=None if manifest.baseline is None else manifest.baseline.path_macs,
    )
