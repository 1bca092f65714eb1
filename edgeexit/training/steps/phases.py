"""A phase of training: which modules are trained, on which exits' losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from edgeexit.models.multi_exit import MultiExitNet


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """A part of training with its own optimizer and learning rate schedule.

    Attributes:
        name: such as ``coop`` or ``stage 2``.
        modules: the modules to train. All others are frozen: their parameters get no gradient,
            and their batch norm uses its running statistics and does not update them.
        exits: the exits whose losses are summed, in order.
        taught: train on Eq. 3 if there is a teacher; otherwise on Eq. 2.
    """

    name: str
    modules: tuple[nn.Module, ...]
    exits: tuple[str, ...]
    taught: bool = False


class PhaseNet(nn.Module):
    """A network restricted to some exits; stages after the last of them do not run."""

    def __init__(self, net: MultiExitNet, exits: Sequence[str]) -> None:
        super().__init__()
        self.net = net
        self.exits = tuple(exits)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map images (N, C, H, W) to logits (N, K) by the exit's name."""
        return self.net.logits(images, self.exits)


def learn_only(phase: Phase, learnable: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """Freeze all of ``learnable`` but the parameters that ``phase`` trains, and return those.

    Args:
        phase: a phase of the network that owns the parameters.
        learnable: all trainable parameters, without those that the model's author froze.
    """
    inside = {parameter for module in phase.modules for parameter in module.parameters()}
    for parameter in learnable:
        parameter.requires_grad_(parameter in inside)
    return [parameter for parameter in learnable if parameter in inside]


def set_modes(net: MultiExitNet, phase: Phase) -> None:
    """Set the modules that ``phase`` trains to training mode, all others to evaluation mode."""
    net.eval()
    for module in phase.modules:
        module.train()
