"""What a benchmark sets side by side: a session, and the thresholds it runs at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeexit_runtime import Session
from edgeexit_runtime.gate import NEVER
from edgeexit_runtime.timing import LatencySummary

from edgeexit.bench.percentiles import Percentile

__all__ = ["CHAIN", "PLAIN", "VERSUS", "Alternative", "AlternativeResult", "with_exits_off"]

CHAIN, PLAIN = "early exit", "plain backbone"
VERSUS = "versus "  # before the name of another model


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


@dataclass(frozen=True, slots=True)
class AlternativeResult:
    """One alternative on all images of the mixture, one by one.

    Attributes:
        name: of the alternative.
        thresholds: it ran at; empty where it is a single graph.
        accuracy: fraction; None where the images have no labels.
        latency: of all its calls.
        percentiles: p50, p90 and p99 with their intervals.
        ratio: mean over the plain backbone's mean.
        times_ms: of each pass over the images, one time per image, in the order of the images.
    """

    name: str
    thresholds: dict[str, float]
    accuracy: float | None
    latency: LatencySummary
    percentiles: tuple[Percentile, ...]
    ratio: float
    times_ms: tuple[tuple[float, ...], ...]


def with_exits_off(chain: Alternative) -> tuple[Alternative, ...]:
    """Return the chain with each exit that is on switched off, one at a time."""
    return tuple(
        Alternative(f"{name} off", chain.session, {**chain.thresholds, name: NEVER})
        for name, threshold in chain.thresholds.items()
        if threshold != NEVER
    )
