"""What a report comes to, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.messages import missing
from support.reports import baseline_and_early_exit, made_run, report_with

from edgeexit.bench import BenchReport, verdict
from edgeexit.bench.render.verdict import verdict_lines
from edgeexit.bench.results.mixture import VERSUS
from edgeexit.bench.results.timings import WarmUp
from edgeexit.statistics.bootstrap import ratios_of_means
from edgeexit.statistics.drift import Drift

PATHS = ((0.5, 0.4), (0.9, 0.8), (1.3, 1.2))


@pytest.mark.parametrize(
    ("mixed", "expected"),
    [
        ((0.6, 0.5), "Early exit pays on this device at these thresholds: an image takes 1.2 ms"),
        ((1.5, 0.9), "Early exit does not pay on this device at these thresholds: an image"),
        ((1.01, 0.9), "Early exit breaks even on this device at these thresholds: an image"),
        (
            (0.6, 0.5),
            "a ratio of 0.600 [0.600, 0.600]. Eq. 5 says 0.500; the measured ratio is 20 % above "
            "it.",
        ),
        (
            (0.6, 0.8),
            "a ratio of 0.600 [0.600, 0.600]. Eq. 5 says 0.800; the measured ratio is 25 % below "
            "it.",
        ),
    ],
)
def test_verdict_on_a_mixture(mixed: tuple[float, float], expected: str) -> None:
    assert expected in verdict(report_with(PATHS, mixed))


@pytest.mark.parametrize("ratio", [0.9, 1.1])
def test_verdict_claims_nothing_that_is_within_the_noise(ratio: float) -> None:
    report = report_with(PATHS, (ratio, 0.5))
    assert report.mixture is not None
    # of two images one takes four times as long with early exit, the other with the baseline
    runs = baseline_and_early_exit(np.array(((ratio, 4 * ratio),) * 2), np.array(((4.0, 1.0),) * 2))
    noisy = replace(report.mixture, runs=runs)
    said = verdict(replace(report, mixture=noisy))
    assert said.startswith("Whether early exit pays")
    assert not missing(said, "within the noise", "--duration", "more images", "an image takes")


def test_a_ratio_near_1_breaks_even_only_if_it_is_known(report: BenchReport) -> None:
    """Of two images one takes four times as long with early exit, the other with the baseline."""
    assert report.mixture is not None
    runs = baseline_and_early_exit(np.array(((1.0, 4.0),) * 2), np.array(((4.0, 1.0),) * 2))
    noisy = replace(report.mixture, runs=runs)
    said = verdict(replace(report, mixture=noisy))
    assert said.startswith("Whether early exit pays")
    assert "a ratio of 1.000 [0.250, 4.000]" in said


def test_one_image_decides_nothing(report: BenchReport) -> None:
    assert report.mixture is not None
    runs = baseline_and_early_exit(np.full((9, 1), 1.0), np.full((9, 1), 2.0))
    one = replace(report.mixture, samples=1, left_at=(0,), runs=runs)
    said = verdict(replace(report, mixture=one))
    assert said.startswith("Whether early exit pays")
    assert not missing(said, "one image", "a ratio of 0.500")


def test_verdict_without_a_mixture() -> None:
    assert not missing(
        verdict(report_with(PATHS, None)),
        *("can pay", "exit1 or exit2", "1.30 times"),
        *("exit1 25 % above", "exit2 12 % above", "final 8 % above", "no images"),
    )


def test_verdict_where_no_exit_is_faster() -> None:
    said = verdict(report_with(((0.99, 0.4), (1.2, 0.8), (1.3, 1.2)), None))
    assert said.startswith("Early exit cannot pay")
    assert not missing(said, "no exit is faster than the plain backbone")


def test_verdict_says_first_what_is_the_better_choice(report: BenchReport) -> None:
    assert report.mixture is not None

    def against(mean_ms: float) -> str:
        ours, theirs, other = (np.full((2, 2), it) for it in (1.2, 2.0, mean_ms))
        runs = (
            *baseline_and_early_exit(ours, theirs),
            made_run(VERSUS, "small.onnx", other, theirs),
        )
        (over_versus,) = ratios_of_means([ours], other)
        mixed = replace(report.mixture, runs=runs, over_versus=over_versus)  # type: ignore[type-var]
        return verdict(replace(report, mixture=mixed))

    assert against(0.2).startswith(
        "At the bundle's thresholds early exit is slower than small.onnx: 1.2 ms on average"
    )
    assert against(5.0).startswith("Early exit pays on this device")
    assert "At the bundle's thresholds early exit is faster than small.onnx" in against(5.0)


def warnings(report: BenchReport, **changes: Any) -> str:
    """Return what the verdict warns of: its last line, if it has one more than without changes."""
    usual, lines = verdict_lines(report), verdict_lines(replace(report, **changes))
    assert lines[: len(usual)] == usual
    assert len(lines) <= len(usual) + 1
    return "".join(lines[len(usual) :])


def test_verdict_warns_of_unsteady_times(report: BenchReport) -> None:
    slow = replace(report.baseline, latency=replace(report.baseline.latency, p90_ms=6.0))
    said = warnings(report, baseline=slow)
    assert not missing(said, "Measure again", "unsteady", "p90 of the plain backbone", "3.0 times")


@pytest.mark.parametrize(
    ("warm_up", "asked_s", "facts"),
    [
        (WarmUp(1.5, 20, True, (9.0, 9.0)), 10, ()),
        (WarmUp(0.1, 10, False, ()), 0, ()),  # none was asked for
        (WarmUp(10.1, 40, False, (9.0, 7.0, 9.5, 8.0)), 10, ("10.1 s", "7, 9.5, 8 ms")),
        (WarmUp(3.1, 14, False, (9.0,)), 3, ("3.1 s", "no two windows")),
    ],
)
def test_verdict_warns_of_a_warm_up_that_never_became_stable(
    report: BenchReport, warm_up: WarmUp, asked_s: float, facts: tuple[str, ...]
) -> None:
    options = replace(report.options, warm_up_s=asked_s)
    said = warnings(report, options=options, warm_up=warm_up)
    assert bool(said) == bool(facts)
    if facts:
        assert not missing(said, "Measure again", "never became stable", *facts, "longer --warm-up")


def test_verdict_warns_of_a_device_whose_speed_drifts(report: BenchReport) -> None:
    assert not warnings(report, drifts=(Drift("mixture", (1.0, 1.02, 1.05)),))
    said = warnings(report, drifts=(Drift("mixture", (1.0, 1.1, 1.5)),))
    facts = ("Measure again", "drifted", "factor of 1.50", "images one by one", "1, 1.1, 1.5 ms")
    assert not missing(said, *facts)


def test_all_warnings_are_one_line(report: BenchReport) -> None:
    slow = replace(report.warm_up, stable=False)
    said = warnings(report, warm_up=slow, drifts=(Drift("mixture", (1.0, 1.1, 1.5)),))
    assert not missing(said, "Measure again", "never became stable", "drifted")


def test_verdict_on_a_plain_backbone() -> None:
    branched = report_with(PATHS, None)
    said = verdict(replace(branched, paths=branched.paths[-1:]))
    assert said.startswith("This network has no branches, so no image leaves early")
