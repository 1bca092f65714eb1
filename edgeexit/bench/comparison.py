"""The chain against another model: which is the better choice, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeexit.bench.alternatives import VERSUS, AlternativeResult
from edgeexit.bench.matched import MIN_HALF, MatchedAccuracy

if TYPE_CHECKING:
    from edgeexit.bench.report import Mixture

__all__ = ["BREAK_EVEN", "Comparison", "compare"]

BREAK_EVEN = 0.02  # a mean that differs by less is within what two runs differ by


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is to be said of the other model; ``first`` where it is the better choice."""

    first: bool
    text: str


def compare(mixture: Mixture) -> Comparison | None:
    """Say how the chain compares with another model; None where none was named."""
    others = [it for it in mixture.alternatives if it.name.startswith(VERSUS)]
    if not others:
        return None
    other = others[0]
    if mixture.matched is None:
        return _as_they_are(mixture, other)
    if mixture.matched.thresholds is None:
        return _out_of_reach(mixture, mixture.matched, other)
    return _matched(mixture.matched, other)


def _as_they_are(mixture: Mixture, other: AlternativeResult) -> Comparison:
    """Compare at the bundle's own thresholds, where no accuracy could be matched."""
    ratio = mixture.latency.mean_ms / other.latency.mean_ms
    if mixture.accuracy is None or other.accuracy is None:
        why = "the images have no labels, so that accuracies are not known"
    else:
        why = (
            f"{mixture.samples} images are too few to match accuracies, {2 * MIN_HALF} or more "
            f"are needed; accuracy is {mixture.accuracy:.4f} and {other.accuracy:.4f}"
        )
    return Comparison(
        ratio > 1 + BREAK_EVEN,
        f"At the bundle's thresholds {_against(mixture.latency.mean_ms, ratio, other)} ({why}).",
    )


def _out_of_reach(
    mixture: Mixture, matched: MatchedAccuracy, other: AlternativeResult
) -> Comparison:
    return Comparison(
        True,
        f"Early exit cannot be as accurate as {_name(other)} on this network: no thresholds reach "
        f"its accuracy of {matched.target_accuracy:.4f} on {matched.choosing} images, the most is "
        f"{matched.best_accuracy:.4f}. {_name(other)} takes {other.latency.mean_ms:.3g} ms on "
        f"average, early exit at the bundle's thresholds {mixture.latency.mean_ms:.3g} ms.",
    )


def _matched(matched: MatchedAccuracy, other: AlternativeResult) -> Comparison:
    ratio, mean_ms, accuracy = matched.ratio, matched.mean_ms, matched.accuracy
    assert ratio is not None
    assert mean_ms is not None
    assert accuracy is not None
    wins = ratio > 1 + BREAK_EVEN
    start = f"{_name(other)} is the better choice on this device: at" if wins else "At"
    text = (
        f"{start} its accuracy {_against(mean_ms, ratio, other, matched.versus_mean_ms)}, judged "
        f"on {matched.judging} images that the thresholds were not chosen on, with accuracy "
        f"{accuracy:.4f} and {matched.versus_accuracy:.4f} there."
    )
    if not wins:
        text = text.replace("its accuracy", f"the accuracy of {_name(other)}", 1)
    if not matched.as_accurate:
        text += (
            " That is less than chance explains: what was matched on the images of the choice "
            "does not hold on others."
        )
    return Comparison(wins, text)


def _against(
    mean_ms: float, ratio: float, other: AlternativeResult, other_ms: float | None = None
) -> str:
    other_ms = other.latency.mean_ms if other_ms is None else other_ms
    if ratio > 1 + BREAK_EVEN:
        word = "slower than"
    elif ratio < 1 - BREAK_EVEN:
        word = "faster than"
    else:
        word = "as fast as"
    return (
        f"early exit is {word} {_name(other)}, {mean_ms:.3g} ms on average against {other_ms:.3g} "
        f"ms, a ratio of {ratio:.3f}"
    )


def _name(other: AlternativeResult) -> str:
    return other.name.removeprefix(VERSUS)
