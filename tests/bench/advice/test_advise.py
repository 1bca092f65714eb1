"""Advice on networks whose answers and times are made up, so that the best is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.bundle.schema import decode, encode
from edgeexit_runtime.timing.calls import summarize
from numpy.typing import NDArray
from support.messages import missing

from edgeexit.bench import BenchImages, BenchOptions, BenchReport, run_bench
from edgeexit.bench.advice.advise import advise
from edgeexit.bench.advice.basis import Basis, basis_of, halves, predict_exits
from edgeexit.bench.path_costs import measured_costs
from edgeexit.bench.render.advice import advice_text, gain_text
from edgeexit.bench.results.advice import Advice, Choice, Gain
from edgeexit.evaluation import ExitPredictions, PathCosts
from edgeexit.statistics import Interval

LeavingAt = Callable[[list[int], list[int]], NDArray[np.float32]]

NONE = Interval(0.0, 0.0, 0.0)
PAYS = {"exit1": 1.0, "final": 10.0, "branch": 0.5, "plain": 9.0}  # ms
OPTIONS = BenchOptions(threads=1, rounds=3, duration_s=60, warm_up_s=0)


@pytest.fixture
def images(leaving_at: LeavingAt) -> BenchImages:
    """60 images: the last exit is right on all, and exit1 is sure of three out of four, rightly."""
    exits = [0, 1, 0, 0] * 15
    labels = [number % 10 for number in range(60)]
    seen = leaving_at(exits, labels) + leaving_at([1] * 60, labels)
    return BenchImages(
        "test", np.minimum(seen, seen.max() / 2).astype(np.float32), np.array(labels)
    )


def timed(report: BenchReport, **medians_ms: float) -> BenchReport:
    """Return the report with these times: of paths, ``branch`` (exit1's) and ``plain``."""

    def with_time(timing, ms):  # type: ignore[no-untyped-def]
        calls = (ms,) * 99 + (2 * ms,)
        return replace(timing, times_ms=calls, latency=summarize(np.array(calls)))

    return replace(
        report,
        parts=tuple(
            with_time(part, medians_ms["branch"]) if part.name == "exit1" else part
            for part in report.parts
        ),
        paths=tuple(with_time(path, medians_ms[path.name]) for path in report.paths),
        baseline=with_time(report.baseline, medians_ms["plain"]),
    )


def advice_of(
    bundle: Path,
    images: BenchImages,
    thresholds: float = 0.5,
    predictions: ExitPredictions | None = None,
    **medians_ms: float,
) -> Advice:
    """Return the advice on the tiny bundle, or on such answers, at these times."""
    report = timed(run_bench(bundle, None, replace(OPTIONS, explain=False)), **medians_ms)
    with ee.load(bundle, threads=1) as session:
        exit1, final = session.manifest.exits
        manifest = replace(session.manifest, exits=(replace(exit1, threshold=thresholds), final))
        assert images.labels is not None
        answers = predictions or predict_exits(session, images.images, images.labels)
    basis = Basis(answers, measured_costs(report))
    advice, no_advice = advise(bundle, manifest, report, basis, OPTIONS)
    assert no_advice is None
    assert advice is not None
    return advice


def answers(sure: NDArray[np.bool_], right: NDArray[np.bool_]) -> ExitPredictions:
    """Return answers of exit1, sure and right of some (N,) images; the last exit always is."""
    always = np.ones_like(right)
    return ExitPredictions(
        ("exit1", "final"),
        np.stack([np.where(sure, 0.9, 0.2), always]).astype(np.float32),
        np.stack([right, always]).astype(np.int64),
        np.ones(len(right), np.int64),
    )


def blank(count: int) -> BenchImages:
    return BenchImages("test", np.zeros((count, 3, 8, 8), np.float32), np.ones(count, np.int64))


def test_an_exit_that_saves_time_is_kept(bundle: Path, images: BenchImages) -> None:
    """The bundle lets nobody leave early; exit1 takes a tenth of the time and is right."""
    advice = advice_of(bundle, images, thresholds=1.0, **PAYS)
    best, now = advice.by_latency, advice.now
    assert (advice.validation_images, advice.test_images, advice.target_accuracy) == (30, 30, 1.0)
    assert best.switched_off == ()
    assert best.accuracy.value == now.accuracy.value == 1
    assert now.average_ms.value == 10
    # those who leave here were drawn at random among the judged half
    share = (10 - best.average_ms.value) / 9
    assert share == pytest.approx(0.75, abs=0.2)
    assert best.average_ms.low < best.average_ms.value < best.average_ms.high
    assert best.p99_ms == 10  # the slow calls of final are 1 of 100 of a quarter
    assert advice.over_now.ms.value == pytest.approx(10 - best.average_ms.value)
    assert not advice.over_now.is_none
    assert advice.over_eq5.is_none  # Eq. 5 chooses the same
    words = advice_text(advice)
    assert words[0].startswith("By measured latency: keep exit1. An image then takes")
    options = "--objective latency --min-accuracy 1.0000 --threads 1"
    assert words[-1].endswith(f": edgeexit tune --engine-dir {bundle} {options}")


def test_an_exit_that_eq5_keeps_and_the_clock_does_not(bundle: Path, images: BenchImages) -> None:
    """Leaving at exit1 takes as long as the whole network without its branch."""
    advice = advice_of(bundle, images, exit1=10.0, final=15.0, branch=9.0, plain=5.5)
    assert advice.by_latency.switched_off == ("exit1",)
    assert advice.by_latency.thresholds == {"exit1": ee.NEVER}
    assert advice.by_eq5.switched_off == ()
    assert (advice.by_latency.average_ms.value, advice.baseline_ms) == (6.0, 5.5)
    assert advice.by_latency.p99_ms == 6.0  # calls of 15 ms without the branch's 9
    assert advice.by_latency.macs_ratio == 1.0  # final's 1,050 MACs without exit1's 50
    assert advice.over_eq5.ms.value > 0
    assert not advice.over_eq5.is_none
    words = " ".join(advice_text(advice))
    assert "keep no exit; switch off exit1, so no image leaves early" in words
    assert "Against the plain backbone: +0.5 ms (+0.5 to +0.5 ms), 9% more." in words


def test_thresholds_are_chosen_on_one_half_and_judged_on_the_other(bundle: Path) -> None:
    """Exit 1 is right on the validation half alone; nobody could choose it on the other."""
    validation, _ = halves(80, OPTIONS.seed)
    right = np.isin(np.arange(80), validation)
    advice = advice_of(bundle, blank(80), predictions=answers(np.ones(80, bool), right), **PAYS)
    assert (advice.target_accuracy, advice.validation_images, advice.test_images) == (1, 40, 40)
    assert advice.by_latency.average_ms.value == 1  # all leave at exit 1
    assert advice.by_latency.accuracy.value == 0


def test_slow_calls_of_a_path_weigh_as_much_as_images_take_it(bundle: Path) -> None:
    """Of 400 images two go on: among 100 calls of either path every second would be final's."""
    hard = np.isin(np.arange(400), [int(part[0]) for part in halves(400, OPTIONS.seed)])
    advice = advice_of(bundle, blank(400), predictions=answers(~hard, ~hard), **PAYS)
    assert advice.now.average_ms.value == pytest.approx(1 + 9 / 200)
    assert advice.now.p99_ms == 2  # exit 1's slow call in a hundred


def test_thresholds_that_are_as_good_as_any_are_left(bundle: Path, images: BenchImages) -> None:
    advice = advice_of(bundle, images, **PAYS)
    assert advice.over_now.is_none
    words = advice_text(advice)
    assert words[0].startswith("Keep the bundle's thresholds")
    assert not any("edgeexit tune" in sentence for sentence in words)


@pytest.mark.parametrize(
    ("gain", "is_none", "expected"),
    [
        (Gain(Interval(1.0, 0.5, 1.5), 0.1), False, "-1 ms (-1.5 to -0.5 ms), 10% less"),
        (Gain(Interval(-1.0, -1.5, -0.5), -0.1), False, "+1 ms (+0.5 to +1.5 ms), 10% more"),
        (Gain(Interval(1.0, -0.1, 2.0), 0.1), True, "no difference beyond the noise (-1 ms)"),
        (Gain(NONE, 0.0), True, "no difference beyond the noise (the same time)"),
        (Gain(Interval(1.0, 0.9, 1.1), 0.019), True, "no difference beyond the noise (-1 ms)"),
    ],
)
def test_a_gain_smaller_than_the_noise_is_none(gain: Gain, is_none: bool, expected: str) -> None:
    assert (gain.is_none, gain_text(gain)) == (is_none, expected)


def choice(name: str, accuracy: float, **thresholds: float) -> Choice:
    off = tuple(exit_ for exit_, value in thresholds.items() if value == ee.NEVER)
    near = Interval(accuracy, accuracy - 0.01, accuracy + 0.01)
    return Choice(name, dict(thresholds), off, near, Interval(2.0, 1.9, 2.1), 4.0, 0.5)


def test_words_name_exits_that_are_switched_off_and_lost_accuracy() -> None:
    gain, none = Gain(Interval(1.0, 0.5, 1.5), 0.1), Gain(NONE, 0.0)
    best = choice("best", 0.9, exit1=0.5, exit2=ee.NEVER)
    advice = Advice(
        0.95, 100, 100, 4.0, 0.97, best, best, choice("now", 0.95, exit1=0.5, exit2=0.5),
        gain, none, gain, "edgeexit tune",
    )  # fmt: skip
    words = advice_text(advice)
    assert "keep exit1, switch off exit2. An image" in words[0]
    assert "at an accuracy of 0.9000 [0.8900, 0.9100], now 0.9500." in words[0]
    assert not missing(words[-1], "less accurate", "0.9500", "more images")


@pytest.mark.parametrize(
    ("count", "labelled", "expected"),
    [
        (None, False, "no advice: images with labels are needed, and none were given"),
        (60, False, "no advice: images with labels are needed, and these have none"),
        (39, True, "no advice: expected at least 40 images with labels, to choose on half of them"),
    ],
)
def test_no_advice_says_why(
    bundle: Path, images: BenchImages, count: int | None, labelled: bool, expected: str
) -> None:
    given = None
    if count is not None:
        labels = images.labels[:count] if labelled and images.labels is not None else None
        given = BenchImages("test", images.images[:count], labels)
    report = run_bench(bundle, given, OPTIONS)
    assert report.advice is None
    assert report.no_advice is not None
    assert report.no_advice.startswith(expected)


@pytest.mark.parametrize(("quick_calls", "is_advised"), [(0, False), (20, True)])
def test_noise_gives_no_advice_only_where_no_call_was_quick(
    bundle: Path, images: BenchImages, quick_calls: int, is_advised: bool
) -> None:
    """The median of the branch is above that of the path which it is a part of."""
    report = run_bench(bundle, None, replace(OPTIONS, explain=False))
    held_up = timed(report, exit1=1.0, final=10.0, branch=2.0, plain=9.0)
    calls_ms = (0.5,) * quick_calls + (2.0,) * (100 - quick_calls)
    noisy = replace(held_up, parts=tuple(replace(it, times_ms=calls_ms) for it in held_up.parts))
    with ee.load(bundle, threads=1) as session:
        basis = basis_of(session, images, noisy)
        advice, said = advise(bundle, session.manifest, noisy, basis, OPTIONS)
    assert (advice is not None) is is_advised
    if not is_advised:
        assert said is not None
        for fact in ("branches up to exit1", "path's 1 ms", "got 2", "busy", "--threads 1"):
            assert fact in said
        assert said.startswith("no advice: the measured times contradict each other")


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"device": "cpu"}, "--threads 1 --device cpu"),
        ({"providers": ("CPUExecutionProvider",)}, "--providers CPUExecutionProvider --threads 1"),
    ],
)
def test_advice_is_part_of_a_run_with_labels(
    bundle: Path,
    images: BenchImages,
    monkeypatch: pytest.MonkeyPatch,
    chosen: dict[str, Any],
    said: str,
) -> None:
    costs = PathCosts.measured({"exit1": 1.0, "final": 10.0}, {"exit1": 0.5}, 9.0, "ms")
    monkeypatch.setattr("edgeexit.bench.path_costs.measured_costs", lambda times: costs)
    report = run_bench(bundle, images, replace(OPTIONS, backends=("onnxruntime",), **chosen))
    assert report.no_advice is None
    assert report.advice is not None
    assert report.advice.now.thresholds == {"exit1": 0.5}
    assert report.advice.by_latency.accuracy.value == 1
    # another backend's times may ask for other thresholds
    assert report.advice.command.endswith(f" --backend onnxruntime {said}")
    assert decode(Advice, json.loads(json.dumps(encode(report.advice)))) == report.advice
