"""What a benchmark sets side by side: a session, and the thresholds it runs at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeexit_runtime import Session

__all__ = ["Alternative"]


@dataclass(frozen=True, slots=True, eq=False)
class Alternative:
    """One way to answer images.

    Several alternatives may share a session: a session for each would keep as many copies of the
    weights in memory and caches, which no device does.

    Attributes:
        name: of the alternative, for tables.
        session: what runs it.
        thresholds: by the exit's name; :data:`edgeexit_runtime.gate.NEVER` switches one off.
    """

    name: str
    session: Session
    thresholds: Mapping[str, float]

    def prepare(self) -> None:
        """Make the session ready to run as this alternative."""
        self.session.thresholds = self.thresholds
