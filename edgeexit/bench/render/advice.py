"""Advice in sentences."""

from __future__ import annotations

from edgeexit.bench.advice import Advice, Choice, Gain


def advice_text(advice: Advice) -> list[str]:
    """Return what to do, a sentence each."""
    best, now = advice.by_latency, advice.now
    p99 = "" if best.p99_ms is None else f", p99 {best.p99_ms:.3g} ms"
    said = [
        f"{_exits_text(best)} An image then takes {best.average_ms.value:.3g} ms on average{p99}, "
        f"at an accuracy of {best.accuracy:.4f}, now {now.accuracy.value:.4f}.",
        f"Against the bundle's thresholds: {gain_text(advice.over_now)}.",
        f"Against Eq. 5's choice: {gain_text(advice.over_eq5)}.",
        f"Against the plain backbone: {gain_text(advice.over_baseline)}.",
    ]
    if advice.over_now.is_none or advice.over_now.ms.value < 0:
        said.insert(0, "Leave the bundle's thresholds: the best that were found gain nothing.")
    elif best.accuracy.high < now.accuracy.value:
        said.append(
            f"But on these images it is less accurate than now ({now.accuracy.value:.4f}): choose "
            "with more images."
        )
    else:
        said.append(f"To choose so, by its validation images, and apply it: {advice.command}")
    return said


def gain_text(gain: Gain) -> str:
    """Return how much more or less a sample takes: ``-1 ms (-1.5 to -0.5 ms), 10% less``."""
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
        return f"By measured latency: keep no exit; with {off} off every image goes all the way."
    if off:
        return f"By measured latency: keep {kept}, switch off {off}, where too few would leave."
    return f"By measured latency: keep {kept}."
