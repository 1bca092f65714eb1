"""An explanation in sentences that an engineer can act on."""

from __future__ import annotations

from edgeexit.bench.explanation import (
    BYTES,
    GATE,
    SESSION,
    SLOW,
    UTILIZATION,
    Breakdown,
    Explanation,
    PartRoofline,
)
from edgeexit.bench.linear_model import LinearModel

__all__ = ["breakdown_words", "faster_words", "model_words", "peaks_words"]

SMALL = 0.005  # of the plain backbone's time; less is in "the rest"
MOST = 6  # are told one by one
AHEAD = 0.02  # so far below its roofline a part is worth a word
KINDS_IN_WORDS = {"Gemm": "fully connected layer", "MatMul": "matrix product"}


def breakdown_words(breakdown: Breakdown, explanation: Explanation) -> str:
    """Return one path in a sentence: Eq. 5's ratio, the measured one, and what lies between."""
    parts = {part.name: part for part in explanation.parts}
    plain = explanation.parts[-1]
    noisy = {term.name: ", within the noise" if term.is_noise else "" for term in breakdown.terms}
    items: list[tuple[float, str]] = []
    for excess in breakdown.parts:
        part = parts[excess.name]
        moved, used = excess.bytes_ratio, excess.utilization_ratio
        items.append((moved, _bytes_words(moved, part) + noisy[BYTES]))
        items.append((used, _utilization_words(used, part, plain) + noisy[UTILIZATION]))
    others = (
        (GATE, "gate and copies"),
        (SESSION, _session_words(breakdown)),
        (SLOW, "slow calls (what is reported is above quick calls)"),
    )
    for name, words in others:
        items.append((breakdown.term(name).ratio, words + noisy[name]))
    items.sort(key=lambda item: -abs(item[0]))
    told = [item for item in items[:MOST] if abs(item[0]) >= SMALL]
    rest = breakdown.measured_ratio - breakdown.macs_ratio - sum(ratio for ratio, _ in told)
    if abs(rest) >= SMALL / 10:
        told.append((rest, "the rest"))
    between = ", ".join(f"{ratio:+.3f} {words}" for ratio, words in told)
    return (
        f"{breakdown.name}: Eq. 5 says {breakdown.macs_ratio:.3f}, measured "
        f"{breakdown.measured_ratio:.3f}: {between or 'no difference'}"
    )


def peaks_words(explanation: Explanation) -> str:
    """Return the machine's peak in a sentence, or why it is not known."""
    peaks = explanation.peaks
    if peaks is None:
        return f"No breakdown: {explanation.not_measured}."
    rates = ", ".join(
        f"{stream.bytes_per_s / 1e9:.3g} GB/s over {_size(stream.working_set_bytes)}"
        for stream in peaks.streams
    )
    return (
        f"Peak of {peaks.provider}, {peaks.precision}: {peaks.macs_per_s / 1e9:.3g} GMAC/s "
        f"({peaks.matrix_size} x {peaks.matrix_size} matrices); {rates}."
    )


def faster_words(explanation: Explanation) -> str | None:
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


def model_words(model: LinearModel | None, parts: int) -> list[str]:
    """Return what Eq. 5 would have to be, a sentence each."""
    if model is None:
        return [
            f"No linear model of time: {parts} stages and branches are too few for its 3 "
            "coefficients."
        ]
    words = [
        f"What Eq. 5 would have to be here: {model.formula}.",
        f"Its ratios of the exit paths, which it was not fitted on, are off by "
        f"{model.model_error:.0%} on average, Eq. 5's by {model.eq5_error:.0%}; the plain "
        f"backbone's time by {model.plain_error:+.0%}.",
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


def _bytes_words(ratio: float, part: PartRoofline) -> str:
    if ratio < 0:
        return f"fewer bytes per MAC in {part.name} than in the plain backbone"
    moved, heaviest = part.weight_bytes + part.activation_bytes, part.heaviest
    if heaviest is None:
        return f"bytes of {part.name}"
    kind = KINDS_IN_WORDS.get(heaviest.kind, heaviest.kind)
    share = heaviest.bytes / moved
    return f"bytes of {part.name} ({moved / 1e6:.3g} MB, {share:.0%} of it its {kind})"


def _utilization_words(ratio: float, part: PartRoofline, plain: PartRoofline) -> str:
    if ratio < 0:
        return f"{part.name} is better utilized than the plain backbone"
    as_many_ms = part.macs / plain.macs * plain.utilization_ms
    count, plain_count = len(part.operators), len(plain.operators)
    small = ""
    if part.macs * plain_count < plain.macs * count:
        each = f"of {part.macs / count / 1e6:.2g} MMACs"
        small = f"; {count} operators {each}" if count > 1 else f"; one operator {each}"
    return (
        f"low utilization of {part.name} ({part.utilization_ms:.3g} ms beyond its roofline, the "
        f"plain backbone {as_many_ms:.3g} for as many MACs{small})"
    )


def _session_words(breakdown: Breakdown) -> str:
    if breakdown.term(SESSION).ratio >= 0:
        return "session"
    return "session (graphs are faster in a row than timed one by one)"


def _size(count: int) -> str:
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count // 2**10} KiB"
