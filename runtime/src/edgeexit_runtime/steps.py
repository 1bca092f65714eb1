"""The steps that a session runs in order, and the stages that it may start ahead of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edgeexit_runtime.bundle.manifest import Manifest
from edgeexit_runtime.gate import NEVER


class Step(NamedTuple):
    """A stage and the exit behind it.

    Attributes:
        stage: None if there is none, or if the step before has started it.
        exit: None if it is switched off.
        ahead: the next step's stage, if it is started before this exit's outputs are known.
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
    """Start the next stage early at exits where few samples are expected to leave.

    Args:
        shares: for each exit, the share of the samples reaching it that leave; 1 if missing.
        below: the next stage is started early where the share is less than this.
    """
    planned = list(steps)
    for index, (_, exit_, _) in enumerate(steps[:-1]):
        following = planned[index + 1]
        if exit_ is not None and following.stage is not None and shares.get(exit_, 1.0) < below:
            planned[index] = planned[index]._replace(ahead=following.stage)
            planned[index + 1] = following._replace(stage=None)
    return tuple(planned)
