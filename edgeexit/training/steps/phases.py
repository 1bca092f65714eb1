"""A phase of training: which parts of a network learn, and from which exits' losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from edgeexit.models.multi_exit import MultiExitNet


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """A stretch of training with its own optimizer and its own fall of the rate.

    Attributes:
        name: such as ``coop`` or ``stage 2``.
        modules: what learns. All else stands still: its parameters get no gradient and its batch
            norm uses and keeps the statistics that it has.
        exits: whose losses are summed, in order.
        taught: on Eq. 3 where there is a teacher; else on Eq. 2 alone.
    """

    name: str
    modules: tuple[nn.Module, ...]
    exits: tuple[str, ...]
    taught: bool = False


class PhaseNet(nn.Module):
    """The exits of a network that a phase computes; stages behind the last of them do not run."""

    def __init__(self, net: MultiExitNet, exits: Sequence[str]) -> None:
        super().__init__()
        self.net = net
        self.exits = tuple(exits)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map images (N, C, H, W) to logits (N, K) by the exit's name."""
        return self.net.logits(images, self.exits)


def learn_only(phase: Phase, learnable: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """Return the parameters that ``phase`` trains; of ``learnable``, no others get gradients.

    Args:
        phase: of the network that has the parameters.
        learnable: what may be trained at all. What its author has frozen is not among it.
    """
    inside = {parameter for module in phase.modules for parameter in module.parameters()}
    for parameter in learnable:
        parameter.requires_grad_(parameter in inside)
    return [parameter for parameter in learnable if parameter in inside]


def set_modes(net: MultiExitNet, phase: Phase) -> None:
    """Put what ``phase`` trains into training mode, and all else into evaluation mode."""
    net.eval()
    for module in phase.modules:
        module.train()
