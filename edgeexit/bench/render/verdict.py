"""What a benchmark comes to, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgeexit.bench.render.backends import backends_text
from edgeexit.bench.render.setup import throttle_warning
from edgeexit.bench.render.versus import compare
from edgeexit.bench.results.mixture import ONE_BY_ONE
from edgeexit.statistics.bootstrap import BREAK_EVEN

if TYPE_CHECKING:
    from edgeexit.bench.results.mixture import Mixture
    from edgeexit.bench.results.report import BenchReport

UNSTEADY = 1.5


def verdict(report: BenchReport) -> str:
    """Return :func:`verdict_lines` as one text."""
    return " ".join(verdict_lines(report))


def verdict_lines(report: BenchReport, *, short: bool = False) -> list[str]:
    """Say whether early exit pays on this device, how far Eq. 5 was off, and if to believe it.

    Where another model was named that is the better choice, that comes first; what makes the
    figures less sure than they look comes last, in a line for all of it where it is to be short.
    """
    mixture = report.mixture
    if len(report.paths) == 1:
        found = (
            "This network has no branches, so that nothing leaves early; its parts take "
            f"{report.paths[0].ratio:.2f} times the backbone as one graph."
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
    warnings = dict(_warnings(report))
    if short and len(warnings) > 1:
        what = ", ".join(warnings)
        return [*said, f"Measure again when nothing else runs here: {what}; --details says more."]
    return [*said, *warnings.values()]


def _warnings(report: BenchReport) -> Iterator[tuple[str, str]]:
    """Yield what makes the figures less sure than they look, in a few words and in a sentence."""
    latency = report.baseline.latency
    spread = latency.p90_ms / latency.min_ms
    if spread >= UNSTEADY:
        yield (
            f"times are unsteady (p90 is {spread:.1f} times the fastest call)",
            f"The times are unsteady (p90 of the plain backbone is {spread:.1f} times its "
            "fastest call): something else runs on this device, measure again when it is idle.",
        )
    warm_up = report.warm_up
    if not warm_up.stable and report.options.warm_up_s > 0:
        last = warm_up.window_medians_ms[-3:]
        why = (
            f"the medians of its last windows still differed ({_milliseconds(last)})"
            if len(last) > 1
            else "there were no two windows to compare"
        )
        yield (
            "the warm-up never became stable",
            f"The warm-up never became stable: after {warm_up.seconds:.1f} s {why}; measure again "
            "with a longer --warm-up, or when nothing else runs.",
        )
    for drift in report.drifts:
        if drift.drifted:
            measured = ONE_BY_ONE if drift.measurement == "mixture" else drift.measurement
            yield (
                f"its speed drifted by {drift.ratio:.2f} times over the {measured}",
                f"The device's speed drifted in the measurement of the {measured}: the plain "
                f"backbone's medians of the first, second and last third are "
                f"{_milliseconds(drift.medians_ms)}, {drift.ratio:.2f} times from fastest to "
                "slowest; it may throttle, or something else runs: cool it or fix its clock, and "
                "measure again.",
            )


def _milliseconds(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values) + " ms"


def _paths_verdict(report: BenchReport) -> str:
    faster = [path.name for path in report.paths if path.ratio < 1 - BREAK_EVEN]
    pays = (
        f"Early exit can pay on this device for images that leave at {' or '.join(faster)}"
        if faster
        else "Early exit cannot pay on this device: no exit is faster than the plain backbone"
    )
    last = report.paths[-1]
    off = ", ".join(f"{path.name} {_off(path.ratio, path.macs_ratio)}" for path in report.paths)
    return (
        f"{pays}; one that goes all the way takes {last.ratio:.2f} times the plain backbone. "
        f"Measured against Eq. 5: {off}. Early exit itself was not measured, because no "
        "images were given: whether it pays on average depends on how many leave where."
    )


def _mixture_verdict(mixture: Mixture) -> str:
    early_exit, ratio = mixture.early_exit, mixture.early_exit.ratio
    if ratio.is_below(1 - BREAK_EVEN):
        pays = "Early exit pays on this device at these thresholds"
    elif ratio.is_above(1 + BREAK_EVEN):
        pays = "Early exit does not pay on this device at these thresholds"
    elif abs(ratio.value - 1) <= BREAK_EVEN:
        pays = "Early exit breaks even on this device at these thresholds"
    else:
        pays = (
            "Whether early exit pays on this device at these thresholds is within the noise (a "
            "longer --duration or more images make it narrower)"
        )
    return (
        f"{pays}: an image takes {early_exit.latency.mean_ms:.3g} ms on average, the plain "
        f"backbone {mixture.baseline.latency.mean_ms:.3g} ms, a ratio of {ratio:.3f}. Eq. 5 says "
        f"{mixture.macs_ratio:.3f}; measured is {_off(ratio.value, mixture.macs_ratio)}."
    )


def _off(measured: float, analytic: float) -> str:
    """Return how far a measured ratio is from Eq. 5's: ``12 % above it``."""
    percent = 100 * (measured / analytic - 1)
    return f"{abs(percent):.0f} % {'above' if percent >= 0 else 'below'} it"
