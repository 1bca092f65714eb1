"""Who teaches the exits, by name. A teacher makes logits from every exit's logits.

A new teacher is one decorated function::

    @register_teacher
    def my_teacher(logits: Mapping[str, Tensor]) -> Tensor: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from edgeexit.errors import UnknownNameError

__all__ = ["Teacher", "create_teacher", "list_teachers", "register_teacher"]

Teacher = Callable[[Mapping[str, Tensor]], Tensor]
"""Maps every exit's logits, (N, K) by name in order, to the teacher's, (N, K), detached."""

NO_TEACHER = "none"

_TEACHERS: dict[str, Teacher] = {}


def register_teacher(teacher: Teacher) -> Teacher:
    """Register a teacher under the function's name."""
    _TEACHERS[teacher.__name__] = teacher
    return teacher


def list_teachers() -> list[str]:
    """Names of all registered teachers, sorted, ``none`` first."""
    return [NO_TEACHER, *sorted(_TEACHERS)]


def create_teacher(name: str) -> Teacher | None:
    """Return the teacher of that name, None for ``none``.

    Raises:
        UnknownNameError: no teacher has that name; the message offers close matches.
    """
    if name == NO_TEACHER:
        return None
    if name not in _TEACHERS:
        raise UnknownNameError("distillation", name, list_teachers())
    return _TEACHERS[name]


@register_teacher
def wed(logits: Mapping[str, Tensor]) -> Tensor:
    """Weighted ensemble: exit j of M counts ``j / (1 + ... + M)``, in logits (Section III-B)."""
    stacked = torch.stack([z.detach() for z in logits.values()])  # (M, N, K)
    weights = torch.arange(1, len(stacked) + 1, dtype=stacked.dtype, device=stacked.device)
    ensemble: Tensor = torch.tensordot(weights / weights.sum(), stacked, dims=1)  # (N, K)
    return ensemble
