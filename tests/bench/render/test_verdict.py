"""What a report comes to, in words."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from support.messages import missing
from support.reports import baseline_and_early_exit, made_run, report_with

from edgeexit.bench import (
    BenchReport,
    verdict,
)
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
    noisy = dataclasses.replace(report.mixture, runs=runs)
    said = verdict(dataclasses.replace(report, mixture=noisy))
    assert said.startswith("Whether early exit pays")
    assert not missing(said, "within the noise", "--duration", "more images", "an image takes")


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


def test_verdict_warns_of_unsteady_times(report: BenchReport) -> None:
    assert "unsteady" not in verdict(report)
    slow = dataclasses.replace(
        report.baseline, latency=dataclasses.replace(report.baseline.latency, p90_ms=6.0)
    )
    said = verdict(dataclasses.replace(report, baseline=slow))
    assert not missing(said, "unsteady", "p90 of the plain backbone", "3.0 times", "measure again")


def test_verdict_says_first_what_is_the_better_choice(report: BenchReport) -> None:
    assert report.mixture is not None

    def against(mean_ms: float) -> str:
        ours, theirs, other = (np.full((2, 2), it) for it in (1.2, 2.0, mean_ms))
        runs = (
            *baseline_and_early_exit(ours, theirs),
            made_run(VERSUS, "small.onnx", other, theirs),
        )
        (over_versus,) = ratios_of_means([ours], other)
        mixed = dataclasses.replace(report.mixture, runs=runs, over_versus=over_versus)  # type: ignore[type-var]
        return verdict(dataclasses.replace(report, mixture=mixed))

    assert against(0.2).startswith(
        "At the bundle's thresholds early exit is slower than small.onnx: 1.2 ms on average"
    )
    assert against(5.0).startswith("Early exit pays on this device")
    assert "At the bundle's thresholds early exit is faster than small.onnx" in against(5.0)


def test_verdict_warns_of_a_warm_up_that_never_became_stable(report: BenchReport) -> None:
    def after(warm_up: WarmUp, warm_up_s: float = 10.0) -> str:
        options = dataclasses.replace(report.options, warm_up_s=warm_up_s)
        return verdict(dataclasses.replace(report, options=options, warm_up=warm_up))

    assert after(WarmUp(1.5, 20, True, (9.0, 9.0))) == verdict(report)
    said = after(WarmUp(10.1, 40, False, (9.0, 7.0, 9.5, 8.0)))
    assert not missing(said, "never became stable", "10.1 s", "7, 9.5, 8 ms", "longer --warm-up")
    said = after(WarmUp(3.1, 14, False, (9.0,)), warm_up_s=3)
    assert not missing(said, "never became stable", "3.1 s", "no two windows", "longer --warm-up")
    # none was asked for
    assert after(WarmUp(0.1, 10, False, ()), warm_up_s=0) == verdict(report)


def test_verdict_warns_of_a_device_whose_speed_drifts(report: BenchReport) -> None:
    def with_thirds(*medians_ms: float) -> str:
        drift = Drift("mixture", medians_ms)  # type: ignore[arg-type]
        return verdict(dataclasses.replace(report, drifts=(drift,)))

    assert with_thirds(1.0, 1.02, 1.05) == verdict(report)
    facts = ("drifted", "images one by one", "1, 1.1, 1.5 ms", "factor of 1.50", "measure again")
    assert not missing(with_thirds(1.0, 1.1, 1.5), *facts)


def test_verdict_on_a_plain_backbone() -> None:
    branched = report_with(PATHS, None)
    said = verdict(replace(branched, paths=branched.paths[-1:]))
    assert said.startswith("This network has no branches, so no image leaves early")


def test_each_thing_is_said_in_a_line_of_its_own() -> None:
    report = report_with(PATHS, None)
    slow = dataclasses.replace(report.warm_up, stable=False)
    lines = verdict_lines(dataclasses.replace(report, warm_up=slow))
    assert len(lines) == 2
    assert lines[1].startswith("The warm-up never became stable")


def test_in_short_all_warnings_are_one_line(report: BenchReport) -> None:
    slow = dataclasses.replace(report.warm_up, stable=False)
    drift = Drift("mixture", (1.0, 1.1, 1.5))
    unsure = dataclasses.replace(report, warm_up=slow, drifts=(drift,))
    first, warning = verdict_lines(unsure, short=True)
    assert [first] == verdict_lines(report)
    assert not missing(warning, "again", "warm-up never became stable", "of 1.50", "one by one")
    assert len(verdict_lines(unsure)) == 3
    one = dataclasses.replace(report, drifts=(drift,))
    assert verdict_lines(one, short=True) == verdict_lines(one), "one is told in full"
