"""An explanation in tables, and in sentences that an engineer can act on."""

from __future__ import annotations

from collections.abc import Sequence

from edgeexit.bench.results.explanation import (
    BYTES,
    GATE,
    SESSION,
    SLOW,
    UTILIZATION,
    Breakdown,
    Explanation,
    LinearModel,
    PartRoofline,
    Term,
)
from edgeexit.bench.results.mixture import BASELINE_NAME
from edgeexit.formats import Table, format_macs, named_numbers

MILLION = 1e6
SMALL = 0.005  # of the plain backbone's time; less is in "the rest"
MOST, FEW = 6, 3  # are told one by one, and in a summary
AHEAD = 0.02  # so far below its roofline a part is worth a word
TERM_HEADINGS = ("bytes", "utilization", "gate,\ncopies", "session", "slow\ncalls")
KINDS_IN_WORDS = {"Gemm": "fully connected layer", "MatMul": "matrix product"}


def roofline_table(explanation: Explanation) -> Table:
    """Return what each part moves, computes and takes."""
    rows = [
        (
            BASELINE_NAME if part.kind == "baseline" else part.name,
            format_macs(part.macs),
            f"{part.weight_bytes / 1e6:.3g}",
            f"{part.activation_bytes / 1e6:.3g}",
            f"{part.compute_ms:.3f}",
            f"{part.roofline_ms:.3f}",
            f"{part.measured_ms:.3f}",
            f"{part.roofline_ms / part.measured_ms:.2f}",
        )
        for part in explanation.parts
    ]
    return Table.of(
        "stages and branches against the machine's peak, ms",
        named_numbers(
            *("part", "MACs", "weights\nMB", "activations\nMB"),
            *("MACs\nat peak", "roofline", "measured", "roofline /\nmeasured"),
        ),
        rows[:-1],
        rows[-1:],
        notes=[
            "roofline: each operator's MACs at the peak, or its bytes if these take longer",
            "measured: a quick call, the 10th percentile",
        ],
    )


def breakdown_table(explanation: Explanation) -> Table:
    """Return one row per path: what lies between Eq. 5's ratio and the measured one."""
    return Table.of(
        "from Eq. 5's ratio to the measured one",
        named_numbers("path", "Eq. 5", *TERM_HEADINGS, "measured"),
        (
            (
                breakdown.label,
                f"{breakdown.macs_ratio:.3f}",
                *map(_term_cell, breakdown.terms),
                f"{breakdown.measured_ratio:.3f}",
            )
            for breakdown in explanation.breakdowns
        ),
        notes=["each row adds up; in brackets: within the noise of these rounds"],
    )


def _term_cell(term: Term) -> str:
    shown = f"{term.ratio:+.3f}"
    return f"({shown})" if term.is_noise else shown


def reasons_text(explanation: Explanation) -> str:
    """Return the largest reasons of early exit, or of the last path where there is none.

    What is behind them is left to :func:`breakdown_text`.
    """
    if not explanation.breakdowns:
        return peaks_text(explanation)
    breakdown = explanation.breakdowns[-1]
    reasons = [(ratio, words) for ratio, words, _ in _reasons(breakdown, explanation)[:FEW]]
    return _between_text(breakdown, reasons)


def breakdown_text(breakdown: Breakdown, explanation: Explanation) -> str:
    """Return one path in a sentence: Eq. 5's ratio, the measured one, and what lies between."""
    reasons = _reasons(breakdown, explanation)[:MOST]
    return _between_text(breakdown, [(ratio, words + behind) for ratio, words, behind in reasons])


def _between_text(breakdown: Breakdown, reasons: Sequence[tuple[float, str]]) -> str:
    """Tell these reasons one by one, as far as they matter, and the others as the rest."""
    told = [reason for reason in reasons if abs(reason[0]) >= SMALL]
    rest = breakdown.measured_ratio - breakdown.macs_ratio - sum(ratio for ratio, _ in told)
    if abs(rest) >= SMALL / 10:
        told.append((rest, "the rest"))
    between = ", ".join(f"{ratio:+.3f} {words}" for ratio, words in told)
    return (
        f"{breakdown.label}: Eq. 5 says {breakdown.macs_ratio:.3f}, measured "
        f"{breakdown.measured_ratio:.3f}: {between or 'no difference'}"
    )


def _reasons(breakdown: Breakdown, explanation: Explanation) -> list[tuple[float, str, str]]:
    """Return each reason: its part of the ratio, words, and what is behind it; largest first."""
    parts = {part.name: part for part in explanation.parts}
    baseline = explanation.parts[-1]
    noisy = {term.name: ", within the noise" if term.is_noise else "" for term in breakdown.terms}
    reasons = []
    for excess in breakdown.parts:
        part = parts[excess.name]
        moved, used = excess.bytes_ratio, excess.utilization_ratio
        reasons.append((moved, *_bytes_words(moved, part), noisy[BYTES]))
        reasons.append((used, *_utilization_words(used, part, baseline), noisy[UTILIZATION]))
    session = breakdown.term(SESSION).ratio
    faster = "" if session >= 0 else " (graphs are faster in a row than timed one by one)"
    slow = " (what is reported is above quick calls)"
    reasons += [
        (breakdown.term(GATE).ratio, "gate and copies", "", noisy[GATE]),
        (session, "session", faster, noisy[SESSION]),
        (breakdown.term(SLOW).ratio, "slow calls", slow, noisy[SLOW]),
    ]
    reasons.sort(key=lambda reason: -abs(reason[0]))
    return [(ratio, words, behind + noise) for ratio, words, behind, noise in reasons]


def peaks_text(explanation: Explanation) -> str:
    """Return the machine's peak in a sentence, or why it is not known."""
    peaks = explanation.peaks
    if peaks is None:
        return f"No breakdown: {explanation.not_measured}."
    rates = ", ".join(
        f"{bandwidth.bytes_per_s / 1e9:.3g} GB/s over {_size(bandwidth.working_set_bytes)}"
        for bandwidth in peaks.bandwidths
    )
    return (
        f"Peak of {peaks.provider}, {peaks.precision}: {peaks.macs_per_s / 1e9:.3g} GMAC/s "
        f"({peaks.matrix_size} x {peaks.matrix_size} matrices); {rates}."
    )


def faster_text(explanation: Explanation) -> str | None:
    """Name the parts that are faster than their roofline; None where there are none."""
    ahead = [
        f"{part.name} ({part.measured_ms / part.roofline_ms:.2f})"
        for part in explanation.parts
        if part.measured_ms < (1 - AHEAD) * part.roofline_ms
    ]
    if not ahead:
        return None
    return (
        f"Faster than their roofline (measured over roofline): {', '.join(ahead)}. Caches hold "
        "what the roofline fetches, or the kernels beat the products that the peak was measured "
        "with; their utilization terms are below 0."
    )


def model_text(model: LinearModel | None, parts: int) -> list[str]:
    """Return what Eq. 5 would have to be, a sentence each."""
    if model is None:
        return [
            f"No linear model of time: {parts} stages and branches are too few for its 3 "
            "coefficients."
        ]
    words = [
        f"What Eq. 5 would have to be here: time = {model.ms_per_mac * MILLION:.4g} ms x MMACs + "
        f"{model.ms_per_byte * MILLION:.4g} ms x MB + {model.ms_per_call:.4g} ms x graphs.",
        f"Its ratios of the exit paths, which it was not fitted on, are off by "
        f"{model.model_error:.0%} on average, Eq. 5's by {model.eq5_error:.0%}; the plain "
        f"backbone's time by {model.baseline_error:+.0%}.",
    ]
    if model.leave_one_out_error is not None:
        words.append(
            f"Fitted on {model.parts} stages and branches it is off by {model.fit_error:.0%}, and "
            f"by {model.leave_one_out_error:.0%} on average on one by the others, "
            f"{model.worst_left_out} worst."
        )
    if model.is_overfitted:
        words.append(
            f"{model.parts} parts for 3 coefficients are few: take these for a description, not a "
            "law."
        )
    return words


def _bytes_words(ratio: float, part: PartRoofline) -> tuple[str, str]:
    """Return a reason, and what is behind it."""
    if ratio < 0:
        return f"fewer bytes per MAC in {part.name} than in the plain backbone", ""
    moved, heaviest = part.weight_bytes + part.activation_bytes, part.heaviest
    if heaviest is None:
        return f"bytes of {part.name}", ""
    kind = KINDS_IN_WORDS.get(heaviest.kind, heaviest.kind)
    share = heaviest.bytes / moved
    return f"bytes of {part.name}", f" ({moved / 1e6:.3g} MB, {share:.0%} of it its {kind})"


def _utilization_words(ratio: float, part: PartRoofline, baseline: PartRoofline) -> tuple[str, str]:
    """Return a reason, and what is behind it."""
    if ratio < 0:
        return f"{part.name} is better utilized than the plain backbone", ""
    as_many_ms = part.macs / baseline.macs * baseline.utilization_ms
    count, baseline_count = len(part.operators), len(baseline.operators)
    small = ""
    if part.macs * baseline_count < baseline.macs * count:
        each = f"of {part.macs / count / 1e6:.2g} MMACs"
        small = f"; {count} operators {each}" if count > 1 else f"; one operator {each}"
    return (
        f"low utilization of {part.name}",
        f" ({part.utilization_ms:.3g} ms beyond its roofline, the plain backbone "
        f"{as_many_ms:.3g} for as many MACs{small})",
    )


def _size(count: int) -> str:
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count // 2**10} KiB"
