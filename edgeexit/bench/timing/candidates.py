"""Candidates of a benchmark: a session, and the thresholds it runs at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeexit_runtime import Session
from edgeexit_runtime.gate import NEVER

from edgeexit.bench.results.mixture import EXIT_OFF, label


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One way to classify images.

    Candidates may share a session: a session for each would keep several copies of the weights in
    memory and caches, unlike any deployed device.

    Attributes:
        role: one of :data:`edgeexit.bench.results.mixture.ROLES`.
        name: as in a :class:`edgeexit.bench.results.mixture.Run`.
        session: that runs it.
        thresholds: by exit name; :data:`edgeexit_runtime.gate.NEVER` switches an exit off.
    """

    role: str
    name: str
    session: Session
    thresholds: Mapping[str, float]

    def prepare(self) -> None:
        """Set the session's thresholds to this candidate's."""
        self.session.thresholds = self.thresholds

    @property
    def label(self) -> str:
        """The name in tables."""
        return label(self.role, self.name)


def with_exits_off(early_exit: Candidate) -> tuple[Candidate, ...]:
    """Return the bundle with each exit that is on switched off, one at a time."""
    return tuple(
        Candidate(
            EXIT_OFF, f"{name} off", early_exit.session, {**early_exit.thresholds, name: NEVER}
        )
        for name, threshold in early_exit.thresholds.items()
        if threshold != NEVER
    )
