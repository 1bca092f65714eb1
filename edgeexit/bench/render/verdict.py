"""The verdict of a benchmark, as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgeexit.bench.render.backends import backends_text
from edgeexit.bench.render.setup import throttle_warning
from edgeexit.bench.results.mixture import (
    BREAKS_EVEN,
    DOES_NOT_PAY,
    NOT_KNOWN,
    ONE_BY_ONE,
    ONE_IMAGE,
    PAYS,
    IsoAccuracy,
    Mixture,
    Reached,
    Run,
)
from edgeexit.bench.results.report import BenchReport
from edgeexit.statistics import Interval

HERE = "on this device at these thresholds"
OUTCOMES = {
    PAYS: f"Early exit pays {HERE}",
    DOES_NOT_PAY: f"Early exit does not pay {HERE}",
    BREAKS_EVEN: f"Early exit breaks even {HERE}",
    NOT_KNOWN: (
        f"Whether early exit pays {HERE} is within the noise (a longer --duration or more images "
        "narrow the interval)"
    ),
    ONE_IMAGE: f"Whether early exit pays {HERE} is not known from one image (give more)",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Text on the comparison with the other model; ``first`` if that is the better choice."""

    first: bool
    text: str


def verdict(report: BenchReport) -> str:
    """Return :func:`verdict_lines` as one text."""
    return " ".join(verdict_lines(report))


def verdict_lines(report: BenchReport) -> list[str]:
    """Return whether early exit pays on this device, how far Eq. 5 was off, and any warnings.

    If another model is the better choice, that comes first. What makes the figures less reliable
    comes last, in one line.
    """
    mixture = report.mixture
    if len(report.paths) == 1:
        found = (
            "This network has no branches, so no image leaves early; its parts take "
            f"{report.paths[0].ratio:.2f} times as long as the backbone as one graph."
        )
    else:
        found = _paths_verdict(report) if mixture is None else _mixture_verdict(mixture)
    said = [found]
    if mixture is not None:
        compared = compare(mixture)
        if compared is not None:
            said.insert(0 if compared.first else 1, compared.text)
    said += backends_text(report)
    said[0] = throttle_warning(report.state) + said[0]
    if warnings := "; ".join(_warnings(report)):
        said.append(f"Measure again when nothing else runs here: {warnings}.")
    return said


def _warnings(report: BenchReport) -> Iterator[str]:
    """Yield what makes the figures less reliable."""
    if report.baseline.is_unsteady:
        yield (
            "times are unsteady (p90 of the plain backbone is "
            f"{report.baseline.spread:.1f} times its fastest call)"
        )
    warm_up = report.warm_up
    if not warm_up.stable and report.options.warm_up_s > 0:
        last = warm_up.window_medians_ms[-3:]
        why = (
            f"the medians of its last windows still differed, {_milliseconds(last)}"
            if len(last) > 1
            else "there were no two windows to compare"
        )
        yield (
            f"the warm-up never became stable (after {warm_up.seconds:.1f} s {why}): give a longer "
            "--warm-up"
        )
    for drift in report.drifts:
        if drift.drifted:
            measured = ONE_BY_ONE if drift.measurement == "mixture" else drift.measurement
            yield (
                f"the speed drifted by a factor of {drift.ratio:.2f} over the {measured} (medians "
                f"of the plain backbone's thirds: {_milliseconds(drift.medians_ms)}): the device "
                "may throttle, cool it or fix its clock"
            )


def _milliseconds(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values) + " ms"


def _paths_verdict(report: BenchReport) -> str:
    faster = [path.name for path in report.paths if path.is_faster]
    pays = (
        f"Early exit can pay on this device for images that leave at {' or '.join(faster)}"
        if faster
        else "Early exit cannot pay on this device: no exit is faster than the plain backbone"
    )
    last = report.paths[-1]
    off = ", ".join(f"{path.name} {_off(path.above_eq5)}" for path in report.paths)
    return (
        f"{pays}; one that leaves at the last exit takes {last.ratio:.2f} times as long as the "
        f"plain backbone. Measured against Eq. 5: {off}. Early exit itself was not measured, "
        "because no images were given: whether it pays on average depends on how many leave at "
        "each exit."
    )


def _mixture_verdict(mixture: Mixture) -> str:
    early_exit, baseline = mixture.early_exit, mixture.baseline
    return (
        f"{OUTCOMES[mixture.outcome]}: an image takes {early_exit.latency.mean_ms:.3g} ms on "
        f"average, the plain backbone {baseline.latency.mean_ms:.3g} ms, a ratio of "
        f"{early_exit.ratio:.3f}. Eq. 5 says {mixture.macs_ratio:.3f}; the measured ratio is "
        f"{_off(mixture.above_eq5)}."
    )


def _off(above: float) -> str:
    """Return how far a measured ratio is from Eq. 5's: ``12 % above it``."""
    return f"{abs(100 * above):.0f} % {'above' if above >= 0 else 'below'} it"


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
