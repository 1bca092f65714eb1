"""Who teaches the exits, by name: ensembles of the exits themselves, or another network.

A new ensemble is one decorated function::

    @ENSEMBLES.register("mine")
    def mine(logits: Mapping[str, Tensor]) -> Tensor: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from edgeexit.errors import UnknownNameError
from edgeexit.registry import Registry

__all__ = [
    "DK",
    "ENSEMBLES",
    "NO_TEACHER",
    "Ensemble",
    "Teacher",
    "check_teacher",
    "ensemble_weights",
    "list_teachers",
]

NO_TEACHER = "none"
DK = "dk"
"""Dark knowledge: another network, trained before; see :mod:`edgeexit.training.dark_knowledge`."""

EnsembleFunction = Callable[[Mapping[str, Tensor]], Tensor]
"""Maps every exit's logits, (N, K) by name in order, to the teacher's, (N, K)."""

ENSEMBLES: Registry[EnsembleFunction] = Registry("distillation")


class Teacher(Protocol):
    """Makes the logits that the exits learn from. No gradient flows into them."""

    @property
    def reads_exits(self) -> bool:
        """Whether the logits of all exits are needed to answer."""

    def __call__(self, images: Tensor, logits: Mapping[str, Tensor]) -> Tensor:
        """Map images (N, C, H, W) and logits (N, K) per exit to logits (N, K), detached."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A teacher made of the exits that it teaches."""

    combine: EnsembleFunction
    reads_exits: bool = True

    def __call__(self, images: Tensor, logits: Mapping[str, Tensor]) -> Tensor:
        return self.combine({name: z.detach() for name, z in logits.items()})


def list_teachers() -> list[str]:
    """Names of all teachers, sorted, ``none`` first."""
    return [NO_TEACHER, *sorted([DK, *ENSEMBLES.names()])]


def check_teacher(name: str) -> None:
    """Raise UnknownNameError, which offers close matches, where no teacher has that name."""
    if name not in list_teachers():
        raise UnknownNameError(ENSEMBLES.kind, name, list_teachers())


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
