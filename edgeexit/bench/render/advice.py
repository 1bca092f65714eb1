"""Advice as a table and as sentences."""

from __future__ import annotations

from edgeexit.bench.render.latencies import SECOND_LINES, interval_cell
from edgeexit.bench.results.advice import Advice, Choice, Gain
from edgeexit.bench.results.mixture import BASELINE_NAME
from edgeexit.formats import Table, format_ms, format_threshold, in_two_lines, named_numbers

_LEAVE = "Keep the bundle's thresholds: the best that were found gain nothing."


def advice_table(advice: Advice) -> Table:
    """Return one column per choice of thresholds."""
    choices = advice.choices
    names = [*(choice.name for choice in choices), BASELINE_NAME]
    accuracies = [choice.accuracy for choice in choices]
    return Table.of(
        f"thresholds chosen on {advice.validation_images} images for an accuracy of "
        f"{advice.target_accuracy:.4f}, evaluated on the other {advice.test_images}",
        named_numbers("", *map(in_two_lines, names)),
        (
            (
                f"threshold of {exit_}",
                *(format_threshold(choice.thresholds[exit_]) for choice in choices),
                "",
            )
            for exit_ in advice.now.thresholds
        ),
        [
            (
                "accuracy",
                *(interval_cell(accuracy, 4) for accuracy in accuracies),
                f"{advice.baseline_accuracy:.4f}",
            ),
            (
                "average ms",
                *(format_ms(choice.average_ms.value) for choice in choices),
                format_ms(advice.baseline_ms),
            ),
            ("p99 ms", *(format_ms(choice.p99_ms) for choice in choices), ""),
            ("Eq. 5", *(f"{choice.macs_ratio:.3f}" for choice in choices), "1.000"),
        ],
        notes=[SECOND_LINES],
    )


def advice_text(advice: Advice, *, short: bool = False) -> list[str]:
    """Return the advice and its gain over each of the alternatives, one sentence each.

    With ``short``, the only gain is that over the bundle's thresholds; none if it is not worth it.
    """
    is_worth_it = advice.over_now.is_worth_it
    if short and not is_worth_it:
        return [_LEAVE]
    gains = {
        "the bundle's thresholds": advice.over_now,
        "Eq. 5's choice": advice.over_eq5,
        "the plain backbone": advice.over_baseline,
    }
    over = [f"Against {what}: {gain_text(gain)}." for what, gain in gains.items()]
    said = [_best_text(advice), *(over[:1] if short else over)]
    return [*said, _apply_text(advice)] if is_worth_it else [_LEAVE, *said]


def no_advice_text(why: str) -> str:
    """Return a sentence that says why there is no advice."""
    return f"{why[0].upper()}{why[1:]}."


def _best_text(advice: Advice) -> str:
    best = advice.by_latency
    p99 = "" if best.p99_ms is None else f", p99 {best.p99_ms:.3g} ms"
    return (
        f"{_exits_text(best)} An image then takes {best.average_ms.value:.3g} ms on average{p99}, "
        f"at an accuracy of {best.accuracy:.4f}, now {advice.now.accuracy.value:.4f}."
    )


def _apply_text(advice: Advice) -> str:
    now = advice.now.accuracy.value
    if advice.by_latency.accuracy.high < now:
        return (
            "But on these images it is less accurate than the bundle's thresholds "
            f"({now:.4f}): choose with more images."
        )
    return (
        "To choose such thresholds on the data set's validation images and apply them: "
        f"{advice.command}"
    )


def gain_text(gain: Gain) -> str:
    """Return the change in time per sample: ``-1 ms (-1.5 to -0.5 ms), 10% less``."""
    ms = gain.ms
    if gain.is_none:
        found = f"{-ms.value:+.3g} ms" if ms.value else "the same time"
        return f"no difference beyond the noise ({found})"
    percent = f"{abs(gain.share):.0%} {'less' if ms.value > 0 else 'more'}"
    return f"{-ms.value:+.3g} ms ({-ms.high:+.3g} to {-ms.low:+.3g} ms), {percent}"


def _exits_text(choice: Choice) -> str:
    kept = " and ".join(name for name in choice.thresholds if name not in choice.switched_off)
    off = " and ".join(choice.switched_off)
    if not kept:
        return f"By measured latency: keep no exit; switch off {off}, so no image leaves early."
    if off:
        return f"By measured latency: keep {kept}, switch off {off}."
    return f"By measured latency: keep {kept}."
