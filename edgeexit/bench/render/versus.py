"""Early exit against another model: which is the better choice, as sentences."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.bench.results.mixture import IsoAccuracy, Mixture, Reached, Run
from edgeexit.statistics import Interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """Text on the comparison with the other model; ``first`` if that is the better choice."""

    first: bool
    text: str


def compare(mixture: Mixture) -> Comparison | None:
    """Return how early exit compares with another model; None if none was named."""
    versus, iso_accuracy = mixture.versus, mixture.iso_accuracy
    if versus is None or mixture.over_versus is None:
        return None
    if iso_accuracy is None:
        return _as_they_are(mixture, versus, mixture.over_versus)
    if iso_accuracy.reached is None:
        return _out_of_reach(mixture, iso_accuracy, versus)
    return _at_its_accuracy(iso_accuracy, iso_accuracy.reached, versus.name)


def _as_they_are(mixture: Mixture, versus: Run, ratio: Interval) -> Comparison:
    """Compare at the bundle's own thresholds, since accuracies could not be matched."""
    ours = mixture.early_exit
    why = "accuracies were not matched"
    if mixture.no_iso_accuracy is not None:
        why += f": {mixture.no_iso_accuracy}"
    if ours.accuracy is not None and versus.accuracy is not None:
        why += f"; accuracy is {ours.accuracy:.4f} and {versus.accuracy:.4f}"
    against = _against(versus.name, ours.latency.mean_ms, versus.latency.mean_ms, ratio)
    return Comparison(ratio.is_slower, f"At the bundle's thresholds {against} ({why}).")


def _out_of_reach(mixture: Mixture, iso_accuracy: IsoAccuracy, versus: Run) -> Comparison:
    return Comparison(
        True,
        f"Early exit cannot be as accurate as {versus.name} on this network: no thresholds reach "
        f"its accuracy of {iso_accuracy.target_accuracy:.4f} on {iso_accuracy.validation_images} "
        f"images, the highest is {iso_accuracy.best_accuracy:.4f}. {versus.name} takes "
        f"{versus.latency.mean_ms:.3g} ms on average, early exit at the bundle's thresholds "
        f"{mixture.early_exit.latency.mean_ms:.3g} ms.",
    )


def _at_its_accuracy(iso_accuracy: IsoAccuracy, reached: Reached, name: str) -> Comparison:
    slower = reached.ratio.is_slower
    if slower:
        start = f"{name} is the better choice on this device: at its accuracy,"
    else:
        start = f"At the accuracy of {name},"
    against = _against(name, reached.mean_ms, iso_accuracy.versus_mean_ms, reached.ratio)
    text = (
        f"{start} {against}, judged on {iso_accuracy.test_images} images that the thresholds were "
        f"not chosen on, with accuracy {reached.accuracy:.4f} and "
        f"{iso_accuracy.versus_accuracy:.4f} there."
    )
    if not reached.as_accurate:
        text += (
            " Chance does not explain the difference: the accuracy matched on the validation "
            "images does not hold on others."
        )
    return Comparison(slower, text)


def _against(name: str, ours_ms: float, theirs_ms: float, ratio: Interval) -> str:
    if ratio.is_slower:
        word = "is slower than"
    elif ratio.is_faster:
        word = "is faster than"
    else:
        word = "does not differ beyond the noise from"
    return (
        f"early exit {word} {name}: {ours_ms:.3g} ms on average against {theirs_ms:.3g} ms, a "
        f"ratio of {ratio:.3f}"
    )
