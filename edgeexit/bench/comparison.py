"""The chain against another model: which is the better choice, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeexit.bench.alternatives import VERSUS, AlternativeResult
from edgeexit.bench.matched import MIN_HALF, MatchedAccuracy, ratio_interval

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
    if mixture.matched.ratio is None:
        return _out_of_reach(mixture, mixture.matched, other)
    return _matched(mixture.matched, other)


def _as_they_are(mixture: Mixture, other: AlternativeResult) -> Comparison:
    """Compare at the bundle's own thresholds, where no accuracy could be matched."""
    found = _Ratio(
        mixture.latency.mean_ms,
        other.latency.mean_ms,
        *ratio_interval(np.array(mixture.times_ms), np.array(other.times_ms)),
    )
    if mixture.accuracy is None or other.accuracy is None:
        why = "the images have no labels, so that accuracies are not known"
    else:
        why = (
            f"{mixture.samples} images are too few to match accuracies, {2 * MIN_HALF} or more "
            f"are needed; accuracy is {mixture.accuracy:.4f} and {other.accuracy:.4f}"
        )
    return Comparison(
        found.slower, f"At the bundle's thresholds {found.against(_name(other))} ({why})."
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
    mean_ms, low, high = matched.mean_ms, matched.ratio_low, matched.ratio_high
    assert mean_ms is not None
    assert low is not None
    assert high is not None
    found = _Ratio(mean_ms, matched.versus_mean_ms, low, high)
    name = _name(other)
    if found.slower:
        start = f"{name} is the better choice on this device: at its accuracy"
    else:
        start = f"At the accuracy of {name}"
    text = (
        f"{start} {found.against(name)}, judged on {matched.judging} images that the thresholds "
        f"were not chosen on, with accuracy {matched.accuracy:.4f} and "
        f"{matched.versus_accuracy:.4f} there."
    )
    if not matched.as_accurate:
        text += (
            " That is less than chance explains: what was matched on the images of the choice "
            "does not hold on others."
        )
    return Comparison(found.slower, text)


@dataclass(frozen=True, slots=True)
class _Ratio:
    """Two mean times and the interval of their ratio."""

    ours_ms: float
    theirs_ms: float
    low: float
    high: float

    @property
    def slower(self) -> bool:
        """Whether ours is slower, by more than noise and by enough to matter."""
        return self.low > 1 and self.ours_ms > (1 + BREAK_EVEN) * self.theirs_ms

    def against(self, name: str) -> str:
        """Return the two in words."""
        ratio = self.ours_ms / self.theirs_ms
        if self.slower:
            word = "is slower than"
        elif self.high < 1 and ratio < 1 - BREAK_EVEN:
            word = "is faster than"
        else:
            word = "does not differ beyond the noise from"
        return (
            f"early exit {word} {name}: {self.ours_ms:.3g} ms on average against "
            f"{self.theirs_ms:.3g} ms, a ratio of {ratio:.3f} [{self.low:.3f}, {self.high:.3f}]"
        )


def _name(other: AlternativeResult) -> str:
    return other.name.removeprefix(VERSUS)
