"""Comparison of two benchmark reports."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.statistics import Interval

PATHS, MIXTURE = "exit paths", "mixture"  # sections
TO_BASELINE = "to the plain backbone"
HIGHER_IS_BETTER = ("samples/s",)


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One figure of both reports.

    Attributes:
        section: ``exit paths``, ``mixture``, ``single stream``, ``multi stream``, ``server``,
            ``offline`` or ``energy``.
        name: of the path or candidate.
        unit: ``ms``, ``mJ``, ``samples/s``, or :data:`TO_BASELINE` of a ratio within the report.
        statistic: ``median``, ``mean``, ``p90``, ...
        first, second: the figure in each.
        ratio: second over first.
        interval: of the ratio; None if the reports hold too few raw values.
        noise: difference of the ratio from 1 that means nothing; 0.02 for 2 %.
    """

    section: str
    name: str
    unit: str
    statistic: str
    first: float
    second: float
    ratio: float
    interval: Interval | None
    noise: float

    @property
    def differs(self) -> bool | None:
        """Whether the difference is larger than the noise; None without an interval."""
        if self.interval is None:
            return None
        return self.interval.is_above(1 + self.noise) or self.interval.is_below(
            1 / (1 + self.noise)
        )

    @property
    def second_is_better(self) -> bool:
        """Whether the second report's figure is the better one."""
        return (self.ratio < 1) != (self.unit in HIGHER_IS_BETTER)


@dataclass(frozen=True, slots=True)
class SetupDifference:
    """One difference between the set-ups, as text."""

    what: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class ReportComparison:
    """Comparison of two reports.

    Attributes:
        first, second: names of the reports.
        differences: between their set-ups, the most telling first.
        warnings: why the comparison may mislead, one sentence each.
        left_out: what only one report has or what cannot be compared, one sentence each.
        figures: that both reports have.
    """

    first: str
    second: str
    differences: tuple[SetupDifference, ...]
    warnings: tuple[str, ...]
    left_out: tuple[str, ...]
    figures: tuple[ComparedFigure, ...]
