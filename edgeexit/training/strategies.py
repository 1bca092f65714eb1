"""Training strategies by name: which parameters train, and on which loss.

A new strategy is one decorated function::

    @register_strategy
    def my_strategy(net: MultiExitNet, config: TrainConfig) -> Objective: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from edgeexit.errors import SpecError, UnknownNameError
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.training.config import TrainConfig
from edgeexit.training.losses import Loss, distillation_loss, joint_cross_entropy
from edgeexit.training.teachers import create_teacher

__all__ = ["Objective", "create_objective", "list_strategies", "register_strategy"]


@dataclass(frozen=True, slots=True)
class Objective:
    """What a strategy trains: the parameters, and the loss that they are to lower."""

    parameters: tuple[nn.Parameter, ...]
    loss: Loss


Strategy = Callable[[MultiExitNet, TrainConfig], Objective]

_STRATEGIES: dict[str, Strategy] = {}


def register_strategy(strategy: Strategy) -> Strategy:
    """Register a strategy under the function's name."""
    _STRATEGIES[strategy.__name__] = strategy
    return strategy


def list_strategies() -> list[str]:
    """Names of all registered strategies, sorted."""
    return sorted(_STRATEGIES)


def create_objective(net: MultiExitNet, config: TrainConfig) -> Objective:
    """Return what ``config.strategy`` trains of ``net``.

    Raises:
        UnknownNameError: no strategy or teacher has that name.
        SpecError: the network has nobody to teach.
    """
    if config.strategy not in _STRATEGIES:
        raise UnknownNameError("strategy", config.strategy, _STRATEGIES)
    return _STRATEGIES[config.strategy](net, config)


@register_strategy
def coop(net: MultiExitNet, config: TrainConfig) -> Objective:
    """Cooperative training: everything at once, on Eq. 2, or on Eq. 3 with a teacher."""
    return Objective(tuple(net.parameters()), _loss(net, config))


def _loss(net: MultiExitNet, config: TrainConfig) -> Loss:
    teacher = create_teacher(config.distill)
    if teacher is None:
        return joint_cross_entropy
    if not net.spec.exits:
        raise SpecError(
            f"--distill {config.distill} teaches branches, and this {config.backbone} has none; "
            "add --branches or use --distill none"
        )

    def loss(logits: Mapping[str, Tensor], targets: Tensor) -> Tensor:
        return distillation_loss(
            logits,
            targets,
            teacher(logits),
            distill_lambda=config.distill_lambda,
            temperature=config.temperature,
        )

    return loss
