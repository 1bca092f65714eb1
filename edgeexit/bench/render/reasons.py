"""Why a measured ratio is not Eq. 5's, in sentences that an engineer can act on."""

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

SMALL = 0.005  # of the plain backbone's time; less is in "the rest"
MOST, FEW = 6, 3  # are told one by one, and in a summary
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
    """Return the largest reasons of early exit, or of the last path where there is none.

    What is behind them is left to :func:`breakdown_text`.
    """
    if not explanation.breakdowns:
        return peaks_text(explanation)
    return _between_text(explanation.breakdowns[-1], FEW, _words)


def breakdown_text(breakdown: Breakdown, explanation: Explanation) -> str:
    """Return one path in a sentence: Eq. 5's ratio, the measured one, and what lies between."""

    def words(reason: Reason) -> str:
        noise = ", within the noise" if reason.is_noise else ""
        return f"{_words(reason)}{_behind(reason, explanation)}{noise}"

    return _between_text(breakdown, MOST, words)


def _between_text(breakdown: Breakdown, most: int, words: Callable[[Reason], str]) -> str:
    """Tell so many reasons one by one, as far as they matter, and the others as the rest."""
    told = [reason for reason in breakdown.reasons[:most] if abs(reason.ratio) >= SMALL]
    between = [f"{reason.ratio:+.3f} {words(reason)}" for reason in told]
    rest = breakdown.rest(told)
    if abs(rest) >= SMALL / 10:
        between.append(f"{rest:+.3f} the rest")
    return (
        f"{breakdown.label}: Eq. 5 says {breakdown.macs_ratio:.3f}, measured "
        f"{breakdown.measured_ratio:.3f}: {', '.join(between) or 'no difference'}"
    )


def _words(reason: Reason) -> str:
    return (LESS if reason.ratio < 0 else MORE)[reason.term].format(part=reason.part)


def _behind(reason: Reason, explanation: Explanation) -> str:
    """Return what is behind a reason, in brackets; nothing where it speaks for itself."""
    if reason.term == SLOW:
        return " (what is reported is above quick calls)"
    if reason.term == SESSION and reason.ratio < 0:
        return " (graphs are faster in a row than timed one by one)"
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
    return f" ({part.moved_bytes / 1e6:.3g} MB, {share:.0%} of it its {kind})"


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
