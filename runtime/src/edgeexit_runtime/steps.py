"""What a session runs, one after another, and what it may begin before it is known to be needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edgeexit_runtime.bundle.manifest import Manifest
from edgeexit_runtime.gate import NEVER


class Step(NamedTuple):
    """What lies between two answers: a stage and the exit behind it.

    Attributes:
        stage: None where there is none, or where the step before has begun it.
        exit: None where it is switched off.
        ahead: the next step's stage, where it is begun before this exit's answer is there.
    """

    stage: str | None
    exit: str | None
    ahead: str | None = None


def plan_steps(manifest: Manifest, thresholds: Mapping[str, float]) -> tuple[Step, ...]:
    """Return the steps at these thresholds, one per exit."""
    return tuple(
        Step(exit_.stage, None if thresholds.get(exit_.name) == NEVER else exit_.name)
        for exit_ in manifest.exits
    )


def begin_ahead(
    steps: Sequence[Step], shares: Mapping[str, float], below: float
) -> tuple[Step, ...]:
    """Let steps begin the next one's stage where few are expected to leave.

    Args:
        shares: of those who reach an exit, how many leave there; unknown is all of them.
        below: fewer than this share are few.
    """
    planned = list(steps)
    for index, (_, exit_, _) in enumerate(steps[:-1]):
        following = planned[index + 1]
        if exit_ is not None and following.stage is not None and shares.get(exit_, 1.0) < below:
            planned[index] = planned[index]._replace(ahead=following.stage)
            planned[index + 1] = following._replace(stage=None)
    return tuple(planned)
