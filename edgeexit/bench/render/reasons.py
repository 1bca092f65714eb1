"""Why a measured ratio differs from Eq. 5's, as sentences."""

from __future__ import annotations

from collections.abc import Callable

from edgeexit.bench.render.roofline import peaks_text
from edgeexit.bench.results.explanation import (
    BYTES,
    GATE,
    SESSION,
    SLOW,
    UTILIZATION,
    Breakdown,
    Explanation,
    Reason,
)
from edgeexit.bench.results.roofline import PartRoofline

SMALL = 0.005  # of the plain backbone's time; smaller reasons are in "the rest"
MOST, FEW = 6, 3  # reasons listed one by one, in full and in a summary
MORE = {
    BYTES: "bytes of {part}",
    UTILIZATION: "low utilization of {part}",
    GATE: "gate and copies",
    SESSION: "session",
    SLOW: "slow calls",
}
LESS = {
    **MORE,
    BYTES: "fewer bytes per MAC in {part} than in the plain backbone",
    UTILIZATION: "{part} is better utilized than the plain backbone",
}
KINDS_IN_WORDS = {"Gemm": "fully connected layer", "MatMul": "matrix product"}


def reasons_text(explanation: Explanation) -> str:
    """Return the largest reasons for early exit, or for the last path if it was not measured.

    Details of each reason are in :func:`breakdown_text`.
    """
    if not explanation.breakdowns:
        return peaks_text(explanation)
    return _between_text(explanation.breakdowns[-1], FEW, _words)


def breakdown_text(breakdown: Breakdown, explanation: Explanation) -> str:
    """Return a sentence on one path: Eq. 5's ratio, the measured one, and the reasons."""

    def words(reason: Reason) -> str:
        noise = ", within the noise" if reason.is_noise else ""
        return f"{_words(reason)}{_behind(reason, explanation)}{noise}"

    return _between_text(breakdown, MOST, words)


def _between_text(breakdown: Breakdown, most: int, words: Callable[[Reason], str]) -> str:
    """List up to ``most`` reasons that are not small, and sum up the others as the rest."""
    listed = [reason for reason in breakdown.reasons[:most] if abs(reason.ratio) >= SMALL]
    between = [f"{reason.ratio:+.3f} {words(reason)}" for reason in listed]
    rest = breakdown.rest(listed)
    if abs(rest) >= SMALL / 10:
        between.append(f"{rest:+.3f} the rest")
    return (
        f"{breakdown.label}: Eq. 5 says {breakdown.macs_ratio:.3f}, measured "
        f"{breakdown.measured_ratio:.3f}: {', '.join(between) or 'no difference'}"
    )


def _words(reason: Reason) -> str:
    return (LESS if reason.ratio < 0 else MORE)[reason.term].format(part=reason.part)


def _behind(reason: Reason, explanation: Explanation) -> str:
    """Return details of a reason, in brackets; empty if it needs none."""
    if reason.term == SLOW:
        return " (the reported time is above the 10th percentile of calls)"
    if reason.term == SESSION and reason.ratio < 0:
        return " (graphs are faster in sequence than timed alone)"
    if reason.part is None or reason.ratio < 0:
        return ""
    parts = {part.name: part for part in explanation.parts}
    part, baseline = parts[reason.part], explanation.parts[-1]
    return _bytes_text(part) if reason.term == BYTES else _utilization_text(part, baseline)


def _bytes_text(part: PartRoofline) -> str:
    heaviest = part.heaviest
    if heaviest is None:
        return ""
    kind = KINDS_IN_WORDS.get(heaviest.kind, heaviest.kind)
    share = heaviest.bytes / part.moved_bytes
    return f" ({part.moved_bytes / 1e6:.3g} MB, {share:.0%} of it in its {kind})"


def _utilization_text(part: PartRoofline, baseline: PartRoofline) -> str:
    count, each = len(part.operators), part.macs_per_operator
    small = ""
    if count and each < baseline.macs_per_operator:
        operators = f"{count} operators" if count > 1 else "one operator"
        small = f"; {operators} of {each / 1e6:.2g} MMACs"
    return (
        f" ({part.utilization_ms:.3g} ms beyond its roofline, the plain backbone "
        f"{baseline.utilization_of(part.macs):.3g} for as many MACs{small})"
    )
