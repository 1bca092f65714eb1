"""Why measured times differ from Eq. 5: parts against the machine's peaks, the terms and reasons of
each path, and the linear model, as tables and sentences.
"""

from __future__ import annotations

from edgeexit.bench.results.explanation import (
    BYTES,
    GATE,
    SESSION,
    SLOW,
    UTILIZATION,
    Breakdown,
    Explanation,
    LinearModel,
    Reason,
    Term,
)
from edgeexit.bench.results.roofline import PartRoofline
from edgeexit.formats import Table, format_macs, named_numbers

MILLION = 1e6
TERM_HEADINGS = ("bytes", "utilization", "gate,\ncopies", "session", "slow\ncalls")
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
    """Return the largest reasons for early exit, or for the last path if it was not measured."""
    if not explanation.breakdowns:
        return peaks_text(explanation)
    return breakdown_text(explanation.breakdowns[-1], explanation, short=True)


def breakdown_text(breakdown: Breakdown, explanation: Explanation, *, short: bool = False) -> str:
    """Return a sentence on one path: Eq. 5's ratio, the measured one, and the largest reasons.

    Others are summed up as the rest. With ``short``, fewer are listed, and without details.
    """
    reasons = breakdown.reasons[: FEW if short else MOST]
    listed = [reason for reason in reasons if abs(reason.ratio) >= SMALL]
    between = []
    for reason in listed:
        words = (LESS if reason.ratio < 0 else MORE)[reason.term].format(part=reason.part)
        details = "" if short else _behind(reason, explanation)
        noise = ", within the noise" if reason.is_noise else ""
        between.append(f"{reason.ratio:+.3f} {words}{details}{noise}")
    rest = breakdown.rest(listed)
    if abs(rest) >= SMALL / 10:
        between.append(f"{rest:+.3f} the rest")
    return (
        f"{breakdown.label}: Eq. 5 says {breakdown.macs_ratio:.3f}, measured "
        f"{breakdown.measured_ratio:.3f}: {', '.join(between) or 'no difference'}"
    )


def _behind(reason: Reason, explanation: Explanation) -> str:
    """Return details of a reason, in brackets; empty if it needs none."""
    if reason.term == SLOW and reason.ratio > 0:
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


def roofline_table(explanation: Explanation) -> Table:
    """Return each part's MACs, traffic and times."""
    rows = [
        (
            part.label,
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
            "measured: the 10th percentile of calls",
        ],
    )


def breakdown_table(explanation: Explanation) -> Table:
    """Return one row per path: the terms between Eq. 5's ratio and the measured one."""
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


def peaks_text(explanation: Explanation) -> str:
    """Return a sentence on the machine's peaks, or why they are not known."""
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
    """Name the parts that are faster than their roofline; None if there are none."""
    ahead = [
        f"{part.name} ({part.over_roofline:.2f})" for part in explanation.parts if part.is_ahead
    ]
    if not ahead:
        return None
    return (
        f"Faster than their roofline (measured over roofline): {', '.join(ahead)}. Caches hold "
        "what the roofline fetches, or the kernels beat the products that the peak was measured "
        "with; their utilization terms are below 0."
    )


def model_text(model: LinearModel | None, parts: int) -> list[str]:
    """Return sentences on the linear model, or why there is none."""
    if model is None:
        return [
            f"No linear model of time: {parts} stages and branches are too few for its 3 "
            "coefficients."
        ]
    words = [
        f"A linear model in place of Eq. 5: time = {model.ms_per_mac * MILLION:.4g} ms x MMACs + "
        f"{model.ms_per_byte * MILLION:.4g} ms x MB + {model.ms_per_call:.4g} ms x graphs.",
        f"Its ratios of the exit paths, which it was not fitted on, are off by "
        f"{model.model_error:.0%} on average, Eq. 5's by {model.eq5_error:.0%}; the plain "
        f"backbone's time by {model.baseline_error:+.0%}.",
    ]
    if model.leave_one_out_error is not None:
        words.append(
            f"On the {model.parts} stages and branches that it was fitted on, it is off by "
            f"{model.fit_error:.0%} on average; predicting each from the others, by "
            f"{model.leave_one_out_error:.0%}, with {model.worst_left_out} the worst."
        )
    if model.is_overfitted:
        words.append(
            f"{model.parts} parts are few for 3 coefficients: the model describes these parts and "
            "may not predict others."
        )
    return words


def _size(count: int) -> str:
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count // 2**10} KiB"
