"""Registry of training strategies: the phases of training (Section V-D).

A new strategy is one decorated function::

    @STRATEGIES.register("my-strategy")
    def my_strategy(net: MultiExitNet) -> tuple[Phase, ...]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from edgeexit.errors import SpecError
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.spec import FINAL
from edgeexit.registry import Registry


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


Strategy = Callable[[MultiExitNet], tuple[Phase, ...]]

STRATEGIES: Registry[Strategy] = Registry("strategy")

BACKBONE = "backbone"


def plan_phases(
    name: str, net: MultiExitNet, *, taught: bool, backbone_is_trained: bool
) -> tuple[Phase, ...]:
    """Return the phases in which the strategy ``name`` trains ``net``, in order.

    Args:
        name: a registered strategy.
        net: the network.
        taught: there is a teacher.
        backbone_is_trained: the backbone and its classifier start from trained weights. A phase
            that would only train them is omitted.

    Raises:
        UnknownNameError: no strategy has that name.
        SpecError: the network has no branches for the strategy or the teacher to train.
    """
    phases = STRATEGIES[name](net)
    if not net.spec.exits and len(phases) > 1:
        raise SpecError(
            f"--strategy {name} trains branches separately from the backbone, but this "
            f"{net.spec.backbone} has none; add --branches or use --strategy coop"
        )
    if taught and not net.spec.exits:
        raise SpecError(
            f"--distill teaches branches, but this {net.spec.backbone} has none; add --branches or "
            "use --distill none"
        )
    if taught and not any(phase.taught for phase in phases):
        raise SpecError(
            f"--strategy {name} has no phase with a teacher: use --distill none, or --strategy "
            "coop or branches-only"
        )
    if backbone_is_trained and len(phases) > 1:
        phases = tuple(phase for phase in phases if phase.name != BACKBONE)
    return phases


@STRATEGIES.register("coop")
def coop(net: MultiExitNet) -> tuple[Phase, ...]:
    """Cooperative: everything at once, on Eq. 2, or on Eq. 3 with a teacher."""
    return (Phase("coop", (net,), net.spec.exit_names, taught=True),)


@STRATEGIES.register("branches-only")
def branches_only(net: MultiExitNet) -> tuple[Phase, ...]:
    """First the backbone with its classifier; then, with these frozen, the branches.

    Raises:
        SpecError: branches have no weights, or share some with the backbone, which would change.
    """
    branches = net.spec.exit_names[:-1]
    _check_apart(net)
    return (
        Phase(BACKBONE, (net.backbone,), (FINAL,)),
        Phase("branches", (net.branches,), branches, taught=True),
    )


def _check_apart(net: MultiExitNet) -> None:
    inside = {id(weight) for weight in net.backbone.parameters()}
    shared = [name for name, w in net.branches.named_parameters() if id(w) in inside]
    if shared:
        raise SpecError(
            f"--strategy branches-only: {', '.join(shared[:3])} of the branches are also weights "
            f"of the backbone of {net.spec.backbone}, which must not change; use --strategy coop"
        )
    if net.spec.exits and not any(True for _ in net.branches.parameters()):
        raise SpecError(
            f"--strategy branches-only: the branches of {net.spec.backbone} have no weights of "
            "their own, later exits use all of them; use --strategy coop"
        )


@STRATEGIES.register("stage-wise")
def stage_wise(net: MultiExitNet) -> tuple[Phase, ...]:
    """Each stage with its branch, one after another; earlier stages are frozen.

    A stage without a branch is trained together with the next one that has a branch.
    """
    phases = []
    waiting = dict(net.backbone.named_stages())
    for number, exit_ in enumerate(net.spec.exits, start=1):
        names = list(waiting)
        here = [waiting.pop(name) for name in names[: names.index(exit_.stage) + 1]]
        modules = (*here, net.branches[exit_.name])
        phases.append(Phase(f"stage {number}", modules, (exit_.name,)))
    modules = (*waiting.values(), net.backbone.classifier)
    phases.append(Phase(f"stage {len(phases) + 1}", modules, (FINAL,)))
    return tuple(phases)


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
