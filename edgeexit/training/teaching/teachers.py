"""Registry of teachers: ensembles of the exits themselves, or another network.

A new ensemble is one decorated function::

    @ENSEMBLES.register("mine")
    def mine(logits: Mapping[str, Tensor]) -> Tensor: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgeexit.data import ImageData
from edgeexit.errors import InputError, UnknownNameError
from edgeexit.models.factories import ModelSource
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.registry import Registry
from edgeexit.training.settings.config import TrainConfig
from edgeexit.training.teaching.dark_knowledge import DarkKnowledge, load_dark_knowledge

NO_TEACHER = "none"
TEACHER = "teacher"
"""The name of the teacher among the exits of :class:`TaughtNet`."""

DK = "dk"
"""Dark knowledge: another, pretrained network; see dark_knowledge.py."""

EnsembleFunction = Callable[[Mapping[str, Tensor]], Tensor]
"""Maps every exit's logits, (N, K) by name in order, to the teacher's, (N, K)."""

ENSEMBLES: Registry[EnsembleFunction] = Registry("distillation")


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A teacher that combines the logits of the exits."""

    combine: EnsembleFunction
    reads_exits: ClassVar[bool] = True
    """Whether it needs the logits of all exits."""

    def __call__(self, images: Tensor, logits: Mapping[str, Tensor]) -> Tensor:
        return self.combine({name: z.detach() for name, z in logits.items()})


Teacher = Ensemble | DarkKnowledge
"""Maps images (N, C, H, W) and logits (N, K) per exit to the logits (N, K), detached, that the
exits learn from."""


class TaughtNet(nn.Module):
    """A network with its teacher as an additional exit, to evaluate both in one pass."""

    def __init__(self, net: MultiExitNet, teacher: Teacher) -> None:
        super().__init__()
        self.net = net
        self.teacher = teacher
        self.score = net.score

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map images (N, C, H, W) to logits (N, K) of every exit, and of ``teacher``."""
        logits = self.net(images)
        return {**logits, TEACHER: self.teacher(images, logits)}


def list_teachers() -> list[str]:
    """Names of all teachers, sorted, ``none`` first."""
    return [NO_TEACHER, *sorted([DK, *ENSEMBLES.names()])]


def check_teacher(name: str) -> None:
    """Raise UnknownNameError, which suggests close matches, if no teacher has that name."""
    if name not in list_teachers():
        raise UnknownNameError(ENSEMBLES.kind, name, list_teachers())


def create_teacher(
    config: TrainConfig, data: ImageData, model: ModelSource | None = None
) -> Teacher | None:
    """Return the teacher that ``config`` names, None for ``none``.

    Args:
        config: its ``distill`` is the teacher's name; ``teacher`` are the weights of ``dk``.
        data: the training data.
        model: the user's model or its factory, for a teacher that is not registered.

    Raises:
        UnknownNameError, InputError: there is no such teacher, or ``teacher`` is set without
            ``dk``.
        SpecError, CheckpointError, DataError: see
            :func:`edgeexit.training.teaching.dark_knowledge.load_dark_knowledge`.
    """
    if config.distill == DK:
        return load_dark_knowledge(config, data, model)
    if config.teacher:
        raise InputError(
            f"--teacher {config.teacher} goes with --distill {DK}, got --distill {config.distill}: "
            "omit the one or change the other"
        )
    return None if config.distill == NO_TEACHER else Ensemble(ENSEMBLES[config.distill])


@ENSEMBLES.register("ofa")
def ofa(logits: Mapping[str, Tensor]) -> Tensor:
    """The last classifier alone (Section III-B)."""
    return list(logits.values())[-1]


@ENSEMBLES.register("med")
def med(logits: Mapping[str, Tensor]) -> Tensor:
    """The mean of all exits, in logits (Section III-B)."""
    return torch.stack(list(logits.values())).mean(dim=0)


@ENSEMBLES.register("wed")
def wed(logits: Mapping[str, Tensor]) -> Tensor:
    """Weighted ensemble: exit j of M counts ``j / (1 + ... + M)``, in logits (Section III-B)."""
    stacked = torch.stack(list(logits.values()))  # (M, N, K)
    weights = ensemble_weights(len(stacked)).to(stacked)
    ensemble: Tensor = torch.tensordot(weights, stacked, dims=1)  # (N, K)
    return ensemble


def ensemble_weights(exits: int) -> Tensor:
    """Return alpha_j = j / (1 + ... + M) for j = 1 to M = ``exits``, (M,) float64."""
    weights = torch.arange(1, exits + 1, dtype=torch.float64)
    return weights / weights.sum()
