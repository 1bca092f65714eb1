"""Early exit at another model's accuracy: how it is chosen, judged, and said who wins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from edgeexit_runtime import ExitAnswers, Predictions, Session, load
from numpy.typing import NDArray
from support.messages import missing
from support.reports import baseline_and_early_exit, made_run

from edgeexit.bench import (
    BenchImages,
    BenchOptions,
    BenchReport,
    IsoAccuracy,
    Mixture,
    run_bench,
    verdict,
)
from edgeexit.bench.advice.basis import Basis, predict_exits
from edgeexit.bench.advice.iso_accuracy import (
    MIN_HALF,
    IsoAccuracyChoice,
    choose_iso_accuracy,
    judge_iso_accuracy,
)
from edgeexit.bench.render.verdict import compare
from edgeexit.bench.results.mixture import (
    EARLY_EXIT,
    ISO_ACCURACY,
    VERSUS,
    Reached,
)
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.errors import DataError
from edgeexit.evaluation import PathCosts
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import ratios_of_means

LeavingAt = Callable[[list[int], list[int]], NDArray[np.float32]]
COUNT = 200
LABELS = np.arange(COUNT) % 10


class Chain:
    """Exit 1 is right where its confidence is at least ``sure``; final is right on a share."""

    def __init__(self, confidences: NDArray[np.float64], sure: float, final_right: float) -> None:
        self.manifest = SimpleNamespace(exit_names=("exit1", "final"))
        self.costs = PathCosts.measured({"exit1": 1.0, "final": 3.0}, {"exit1": 0.5}, 2.0, "ms")
        right = np.stack([confidences >= sure, np.arange(COUNT) < final_right * COUNT])
        self.answers = ExitAnswers(
            np.where(right, LABELS, (LABELS + 1) % 10),
            np.stack([confidences, np.ones(COUNT)]).astype(np.float32),
        )

    def infer_all_exits(self, images: NDArray[np.float32]) -> ExitAnswers:
        count = len(images)
        return ExitAnswers(self.answers.labels[:, :count], self.answers.confidences[:, :count])


class Static:
    """A model that is wrong on one image in so many, spread evenly."""

    thresholds: dict[str, float]

    def __init__(self, every: int) -> None:
        self.labels = np.where(np.arange(COUNT) % every == 0, (LABELS + 1) % 10, LABELS)

    def infer(self, images: NDArray[np.float32]) -> Predictions:
        count = len(images)
        return Predictions(
            self.labels[:count], np.ones(count, np.float32), np.zeros(count, np.int64)
        )


def ask(session: Any, versus: Any, count: int = COUNT, seed: int = 0) -> IsoAccuracyChoice | str:
    images = BenchImages("test", np.zeros((count, 1, 2, 2), np.float32), LABELS[:count])
    return choose_iso_accuracy(
        Candidate(EARLY_EXIT, "early exit", session, {}),
        Candidate(VERSUS, "small.onnx", versus, {}),
        images,
        Basis(predict_exits(session, images.images, LABELS[:count]), session.costs),
        seed,
    )


def choose(session: Any, versus: Any, seed: int = 0) -> IsoAccuracyChoice:
    choice = ask(session, versus, seed=seed)
    assert isinstance(choice, IsoAccuracyChoice)
    return choice


def test_the_cheapest_thresholds_that_reach_the_accuracy_are_chosen() -> None:
    # exit 1 is right from a confidence of 0.3 on, final always: all is right from there on
    confidences = np.random.default_rng(0).permutation(np.linspace(0.05, 0.95, COUNT))
    versus = Static(every=COUNT + 1)  # one image wrong, the first
    choice = choose(Chain(confidences, 0.3, 1.0), versus)
    assert choice.candidate is not None
    assert choice.best_accuracy == 1
    assert choice.target_accuracy in (1, 0.99)
    assert choice.candidate.name == "as accurate as small.onnx"
    assert choice.candidate.thresholds["exit1"] == pytest.approx(0.3, abs=0.02)
    # a weaker target allows more to leave, down to where as many are wrong
    weaker = choose(Chain(confidences, 0.3, 1.0), Static(every=5))
    assert weaker.candidate is not None
    assert weaker.target_accuracy == pytest.approx(0.8, abs=0.08)
    assert weaker.candidate.thresholds["exit1"] < 0.2


def test_halves_are_apart_and_follow_the_seed() -> None:
    chain, versus = Chain(np.linspace(0, 1, COUNT), 0.3, 1.0), Static(5)
    choice = choose(chain, versus)
    assert (choice.validation_images, len(choice.test)) == (100, 100)
    assert len(set(choice.test.tolist())) == 100
    chosen_on = np.setdiff1d(np.arange(COUNT), choice.test)
    assert choice.target_accuracy == (versus.labels == LABELS)[chosen_on].mean()
    np.testing.assert_array_equal(choice.test, choose(chain, versus).test)
    assert choice.test.tolist() != choose(chain, versus, seed=1).test.tolist()


def test_an_accuracy_out_of_reach_is_no_error() -> None:
    choice = choose(Chain(np.zeros(COUNT), 0.3, 0.5), Static(every=10))
    assert choice.candidate is None
    assert choice.best_accuracy < 0.65 < choice.target_accuracy


def test_with_few_images_nothing_is_matched() -> None:
    chain, versus = Chain(np.ones(COUNT), 0.3, 1.0), Static(10)
    assert isinstance(ask(chain, versus, count=2 * MIN_HALF), IsoAccuracyChoice)
    said = ask(chain, versus, count=2 * MIN_HALF - 1)
    assert not missing(said, "expected at least 100 images with labels", "got 99")


def test_a_network_without_branches_is_matched_as_it_is() -> None:
    chain = Chain(np.ones(COUNT), 0.3, 0.9)
    chain.manifest.exit_names = ("final",)
    chain.costs = PathCosts.measured({"final": 3.0}, {}, 2.0, "ms")
    chain.answers = ExitAnswers(chain.answers.labels[1:], chain.answers.confidences[1:])
    weaker = choose(chain, Static(every=2)).candidate
    assert weaker is not None
    assert weaker.thresholds == {}
    assert choose(chain, Static(every=100)).candidate is None


def test_judged_on_the_other_half_alone() -> None:
    test = np.arange(100, 200)
    ours = Candidate(ISO_ACCURACY, "as accurate as small.onnx", None, {"exit1": 0.4})  # type: ignore[arg-type]
    versus = Candidate(VERSUS, "small.onnx", None, {})  # type: ignore[arg-type]

    def runs(candidate: Candidate, wrong: slice, milliseconds: float) -> Any:
        labels = LABELS.copy()
        labels[wrong] += 1
        times_ms = np.where(np.arange(COUNT) < 100, 999.0, milliseconds)[None]
        return SimpleNamespace(candidate=candidate, labels=labels, by_image=lambda: times_ms)

    both = runs(versus, slice(90, 110), 2.0), runs(ours, slice(95, 105), 3.0)
    choice = IsoAccuracyChoice(ours, LABELS, test, 100, 0.9, 0.95)
    found = judge_iso_accuracy(choice, both)
    assert (found.validation_images, found.test_images) == (100, 100)
    assert (found.versus_accuracy, found.versus_mean_ms) == (0.9, 2)
    reached = found.reached
    assert reached is not None
    assert (reached.accuracy, reached.mean_ms, reached.thresholds) == (0.95, 3, {"exit1": 0.4})
    ratio = reached.ratio
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1.5, 1.5, 1.5))
    # five images that only one got right: a standard deviation of sqrt(0.05 - 0.05**2)
    lost = reached.lost_accuracy
    margin = 1.96 * np.sqrt(0.0475 / 100)
    assert lost.value == pytest.approx(-0.05)
    assert (lost.low, lost.high) == pytest.approx((-0.05 - margin, -0.05 + margin), abs=0.01)
    assert judge_iso_accuracy(dataclasses.replace(choice, candidate=None), both).reached is None


@pytest.fixture
def images(leaving_at: LeavingAt) -> BenchImages:
    return BenchImages("test", leaving_at([0, 1] * 60, LABELS[:120].tolist()), LABELS[:120])


def run_with_itself(bundle: Path, images: BenchImages) -> BenchReport:
    options = BenchOptions(threads=1, rounds=1, warm_up_s=0, versus=str(bundle))
    return run_bench(bundle, images, options)


def test_a_bundle_is_matched_with_itself_and_every_exit_is_asked_once(
    bundle: Path, images: BenchImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    infer_all_exits = Session.infer_all_exits

    def watched(self: Session, images: NDArray[np.float32]) -> ExitAnswers:
        asked.append(len(images))
        return infer_all_exits(self, images)

    monkeypatch.setattr(Session, "infer_all_exits", watched)
    mixture = run_with_itself(bundle, images).mixture
    assert asked == [120]  # for the other model's accuracy and for the advice
    assert mixture is not None
    assert [(run.role, run.label) for run in mixture.runs] == [
        ("baseline", "plain backbone"),
        ("early_exit", "early exit"),
        ("exit_off", "exit1 off"),
        ("versus", "versus bundle"),
        ("iso_accuracy", "as accurate as bundle"),
    ]
    found = mixture.iso_accuracy
    assert found is not None
    assert found.reached is not None
    assert (found.target_accuracy, found.reached.accuracy, found.versus_accuracy) == (1, 1, 1)
    assert found.reached.thresholds == mixture.runs[-1].thresholds
    assert (found.validation_images, found.test_images) == (60, 60)
    with load(bundle) as session:
        session.thresholds = found.reached.thresholds
        np.testing.assert_array_equal(session.infer(images.images).exits, [0, 1] * 60)


def test_times_that_contradict_each_other_cost_the_match_alone(
    bundle: Path, images: BenchImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(times: object) -> PathCosts:
        raise DataError("the measured times contradict each other: measure again")

    monkeypatch.setattr("edgeexit.bench.path_costs.measured_costs", busy)
    report = run_with_itself(bundle, images)
    assert report.mixture is not None
    assert report.mixture.over_versus is not None
    assert report.mixture.iso_accuracy is None
    for why in (report.no_advice, report.mixture.no_iso_accuracy, verdict(report)):
        assert not missing(why, "times contradict each other", "measure again")


# in words


def mixture_of(
    versus_ms: float,
    iso_accuracy: IsoAccuracy | str | None,
    accuracy: float | None = 0.95,
    versus_accuracy: float | None = 0.9,
) -> Mixture:
    """Return a mixture in which early exit takes 1 ms on average, the baseline 2."""
    ours, theirs, other = (np.full((1, 4), mean_ms) for mean_ms in (1.0, 2.0, versus_ms))
    (over_versus,) = ratios_of_means([ours], other)
    runs = (
        *baseline_and_early_exit(ours, theirs, (accuracy, accuracy)),
        made_run(VERSUS, "small.onnx", other, theirs, versus_accuracy),
    )
    found, why = (None, iso_accuracy) if isinstance(iso_accuracy, str) else (iso_accuracy, None)
    return Mixture("test", 4, (), (0,) * 4, 0.5, runs, over_versus, found, why)


def out_of_reach(versus_ms: float) -> IsoAccuracy:
    return IsoAccuracy(100, 100, 0.92, 0.88, 0.91, versus_ms, None)


def reached_at(
    mean_ms: float, versus_ms: float, accuracy: float = 0.9, noise: float = 0.01
) -> IsoAccuracy:
    ratio, lost = mean_ms / versus_ms, 0.91 - accuracy
    reached = Reached(
        thresholds={"exit1": 0.4},
        accuracy=accuracy,
        mean_ms=mean_ms,
        ratio=Interval(ratio, ratio - noise, ratio + noise),
        lost_accuracy=Interval(lost, lost - 0.03, lost + 0.03),
    )
    return dataclasses.replace(out_of_reach(versus_ms), best_accuracy=0.96, reached=reached)


SAME = "does not differ beyond the noise from small.onnx: 0.8 ms on average"


@pytest.mark.parametrize(
    ("found", "comes_first", "facts"),
    [
        (
            mixture_of(0.4, reached_at(0.8, 0.4)),
            True,
            "small.onnx is the better choice|slower|0.8 ms|0.4 ms|2.000 [1.990, 2.010]|100 images|"
            "not chosen on|0.9000 and 0.9100",
        ),
        (mixture_of(1.6, reached_at(0.8, 1.6)), False, "is faster than small.onnx: 0.8 ms"),
        # by 1.3 %, which is nothing
        (mixture_of(0.79, reached_at(0.8, 0.79, noise=0.001)), False, SAME),
        (mixture_of(0.6, reached_at(0.8, 0.6, noise=0.4)), False, SAME),
        (mixture_of(1.2, reached_at(0.8, 1.2, noise=0.4)), False, SAME),
        (
            mixture_of(1.6, out_of_reach(1.6)),
            True,
            "cannot be as accurate as small.onnx|0.9200 on 100 images|0.8800|"
            "small.onnx takes 1.6 ms|bundle's thresholds 1 ms",
        ),
        (
            mixture_of(0.4, "no labels", accuracy=None, versus_accuracy=None),
            True,
            "bundle's thresholds|slower than small.onnx|1 ms|0.4 ms|2.500 [2.500, 2.500]|no labels",
        ),
        (
            mixture_of(1.5, "expected 100 images, got 4"),
            False,
            "not matched: expected 100 images, got 4|0.9500 and 0.9000",
        ),
        (mixture_of(1.5, None), False, "not matched; accuracy is 0.9500 and 0.9000"),
    ],
)
def test_who_wins_and_whether_that_is_said_first(
    found: Mixture, comes_first: bool, facts: str
) -> None:
    said = compare(found)
    assert said is not None
    assert said.first is comes_first
    assert not missing(said.text, *facts.split("|"))


@pytest.mark.parametrize(("accuracy", "holds"), [(0.885, True), (0.87, False)])
def test_an_accuracy_that_did_not_hold_on_other_images_is_said(
    accuracy: float, holds: bool
) -> None:
    said = compare(mixture_of(1.6, reached_at(0.8, 1.6, accuracy=accuracy)))
    assert said is not None
    words = "the accuracy matched on the validation images does not hold on others"
    assert (words not in said.text) is holds


def test_without_another_model_nothing_is_compared() -> None:
    found = mixture_of(1, None)
    assert compare(dataclasses.replace(found, runs=found.runs[:2])) is None
