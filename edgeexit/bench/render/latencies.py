"""Cells of latencies and percentiles, and notes for those with too few calls."""

from __future__ import annotations

from collections.abc import Sequence

from edgeexit_runtime.timing.calls import LatencySummary

from edgeexit.formats import format_ms
from edgeexit.statistics import CONFIDENCE_LEVEL, Interval
from edgeexit.statistics.percentiles import Percentile, count_for_interval, count_for_point

LATENCIES = ("p50", "p90", "p95", "p99", "mean")
LATENCY_HEADINGS = (*LATENCIES, "calls")
SECOND_LINES = f"Second lines: {CONFIDENCE_LEVEL:.0%} intervals."


def latency_cells(latency: LatencySummary | None, different: int | None = None) -> list[str]:
    """Return the figures of timed calls; ``-`` for percentiles with too few calls.

    Args:
        latency: None if nothing was timed.
        different: number of different images; None for repeated calls on one image, whose number
            then decides.
    """
    if latency is None:
        return ["-"] * len(LATENCY_HEADINGS)
    count = latency.count if different is None else different
    cells = []
    for name in LATENCIES:
        enough = name == "mean" or count >= count_for_point(float(name[1:]))
        cells.append(format_ms(getattr(latency, f"{name}_ms") if enough else None))
    return [*cells, str(latency.count)]


def few_note(counts: Sequence[int], what: str) -> str:
    """Return how many of ``what`` each percentile needs that is missing for some of ``counts``."""
    needed = {name: count_for_point(float(name[1:])) for name in LATENCIES if name != "mean"}
    missing = [f"{name} needs {least}" for name, least in needed.items() if min(counts) < least]
    return f"Where there is '-': {', '.join(missing)} {what} or more" if missing else ""


def interval_cell(figure: Interval | None, digits: int = 3) -> str:
    """Return a figure with its interval on a second line; ``-`` if it is not known."""
    return "-" if figure is None else _cell(figure.value, figure.low, figure.high, digits)


def percentile_cells(found: Sequence[Percentile]) -> list[str]:
    """Return each percentile and what is known of its interval; from 100 ms on to 0.1 ms."""
    return [
        "-"
        if it.value_ms is None
        else _cell(it.value_ms, it.low_ms, it.high_ms, 3 if it.value_ms < 100 else 1)
        for it in found
    ]


def _cell(value: float, low: float | None, high: float | None, digits: int) -> str:
    shown = f"{value:.{digits}f}"
    ends = ("" if end is None else f"{end:.{digits}f}" for end in (low, high))
    return shown if low is None and high is None else f"{shown}\n{'..'.join(ends)}"


def percentile_note(found: Sequence[Percentile], what: str = "images") -> str:
    """Explain the second lines, and why percentiles or ends of intervals are missing.

    Args:
        found: of one candidate; the counts are the same for all.
        what: the counted unit.
    """
    notes = []
    if any(it.low_ms is not None or it.high_ms is not None for it in found):
        notes.append(SECOND_LINES)
    for it in found:
        if it.count < count_for_point(it.percent):
            needed = f"p{it.percent:g} needs {count_for_point(it.percent)}"
        elif it.low_ms is not None and it.high_ms is None:
            needed = f"p{it.percent:g}'s upper end needs {count_for_interval(it.percent)}"
        else:
            continue
        notes.append(f"{needed} different {what}, there are {it.count}.")
    return " ".join(notes)
