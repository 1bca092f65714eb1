from __future__ import annotations

import numpy as np
import pytest
from edgeexit_runtime.gate import NEVER

from edgeexit.cost import ExitCosts
from edgeexit.cost.exits import exit_costs
from edgeexit.errors import InputError
from edgeexit.evaluation import ExitPredictions, PathCosts, evaluate_adaptive, leaving_exits
from edgeexit.evaluation.adaptive import bootstrap_intervals

THRESHOLDS = {"exit1": 0.7, "exit2": 0.6}
NAMES = ("exit1", "exit2", "final")
COST = ExitCosts(exit_costs(NAMES, (100, 150, 200), (30, 20, 10)))
PATHS = (130, 300, 510)
BASELINE = 460
TWO_COSTS = PathCosts(("exit1", "final"), (2, 5), (1, 1), 4)


def predictions(samples: int = 400) -> ExitPredictions:
    random = np.random.default_rng(5)
    return ExitPredictions(
        NAMES,
        random.uniform(0.2, 1, (3, samples)).astype(np.float32),
        random.integers(0, 3, (3, samples)),
        random.integers(0, 3, samples),
    )


def few(confidences: list[list[float]], right: list[list[int]]) -> ExitPredictions:
    """Return predictions with the true class 1 everywhere, and 0 where an exit is wrong."""
    return ExitPredictions(
        NAMES,
        np.array(confidences, np.float32),
        np.array(right, np.int64),
        np.ones(len(right[0]), np.int64),
    )


def test_report_equals_a_loop_over_samples() -> None:
    given = predictions()
    report = evaluate_adaptive(given, THRESHOLDS, COST)

    right, paid = 0, 0
    leaving, leaving_right = [0, 0, 0], [0, 0, 0]
    for n in range(400):
        for m, gamma in enumerate((0.7, 0.6, 0.0)):
            if given.confidences[m, n] >= np.float32(gamma):
                hit = int(given.labels[m, n] == given.targets[n])
                right += hit
                paid += PATHS[m]
                leaving[m] += 1
                leaving_right[m] += hit
                break

    assert min(leaving) > 20  # every exit is really used
    assert report.samples == 400
    assert report.adaptive_accuracy == right / 400
    assert report.average_macs == pytest.approx(paid / 400, rel=1e-12)
    for m, exit_ in enumerate(report.exits):
        everyone = sum(int(given.labels[m, n] == given.targets[n]) for n in range(400))
        assert exit_.name == given.exit_names[m]
        assert exit_.accuracy == everyone / 400
        assert exit_.share == leaving[m] / 400
        assert type(exit_.share) is float, "a checkpoint stores it as it is"
        assert exit_.leaving_accuracy == pytest.approx(leaving_right[m] / leaving[m], rel=1e-12)
        assert exit_.path_macs == PATHS[m]
        assert exit_.macs == COST.exits[m].macs
    assert [exit_.threshold for exit_ in report.exits] == [0.7, 0.6, None]
    assert report.backbone_accuracy == report.exits[-1].accuracy
    assert report.baseline_macs == BASELINE
    assert report.accuracy_ratio == pytest.approx(
        report.adaptive_accuracy / report.backbone_accuracy, rel=1e-12
    )
    assert report.macs_ratio == pytest.approx(paid / 400 / BASELINE, rel=1e-12)


def test_a_sample_leaves_at_exactly_its_threshold_compared_in_float32() -> None:
    below, equal = np.nextafter(np.float32(0.7), np.float32(0)), np.float32(0.7)
    assert float(equal) < 0.7  # compared as float64, nobody would leave
    given = few([[below, equal], [0.5, 0.5], [0.5, 0.5]], [[1, 1], [1, 1], [1, 1]])
    assert leaving_exits(given, {"exit1": 0.7, "exit2": NEVER}).tolist() == [2, 0]


def test_never_and_zero() -> None:
    given = predictions(50)
    given.confidences[0, 0] = 1.0

    nobody = evaluate_adaptive(given, {"exit1": NEVER, "exit2": NEVER}, COST)
    assert [exit_.share for exit_ in nobody.exits] == [0, 0, 1]
    assert nobody.exits[0].leaving_accuracy is None
    assert nobody.adaptive_accuracy == nobody.backbone_accuracy
    assert nobody.accuracy_ratio == 1
    # branches of exits that are switched off are not run
    assert nobody.average_macs == BASELINE
    assert [exit_.path_macs for exit_ in nobody.exits][-1] == BASELINE
    passed = evaluate_adaptive(given, {"exit1": 1.5, "exit2": 1.5}, COST)
    assert passed.average_macs == PATHS[2]

    everybody = evaluate_adaptive(given, {"exit1": 0, "exit2": NEVER}, COST)
    assert [exit_.share for exit_ in everybody.exits] == [1, 0, 0]
    assert everybody.adaptive_accuracy == everybody.exits[0].accuracy
    assert everybody.average_macs == PATHS[0]


def test_ratio_to_a_backbone_that_is_never_right() -> None:
    given = few([[0.9], [0.9], [0.9]], [[1], [1], [0]])
    report = evaluate_adaptive(given, THRESHOLDS, COST)
    assert report.accuracy_ratio is None


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"exit1": 0.5, "exit2": 0.5, "exit3": 0.5}, r"expected .*'exit1', 'exit2'\], got .*exit3"),
        ({"exit1": 0.5, "exit2": 0.5, "final": 0.5}, "got .*final"),
        ({"exit1": 0.5}, r"for each of .*'exit2'\], got \['exit1'\]"),
        ({"exit1": 0.5, "exit2": 2.5}, "exit2: expected 0 to 1 .*got 2.5"),
        ({"exit1": -0.1, "exit2": 0.5}, "exit1: expected 0 to 1 .*got -0.1"),
        ({"exit1": float("nan"), "exit2": 0.5}, "exit1: expected 0 to 1 .*got nan"),
    ],
)
def test_thresholds_that_do_not_fit(thresholds: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_adaptive(predictions(4), thresholds, COST)


def test_cost_of_another_network_is_refused() -> None:
    given = predictions(4)
    two = ExitPredictions(
        ("exit1", "final"), given.confidences[1:], given.labels[1:], given.targets
    )
    with pytest.raises(ValueError, match="predictions of exits"):
        evaluate_adaptive(two, {"exit1": 0.5}, COST)


def draw(samples: int, seed: int) -> ExitPredictions:
    """Two exits, right in 80 % and 90 %, the first sure of about half."""
    rng = np.random.default_rng(seed)
    confidences = np.stack([rng.random(samples), np.ones(samples)]).astype(np.float32)
    labels = (rng.random((2, samples)) > np.array([[0.8], [0.9]])).astype(np.int64)
    return ExitPredictions(("exit1", "final"), confidences, labels, np.zeros(samples, np.int64))


def test_intervals_are_those_of_resampled_samples() -> None:
    predictions = draw(300, 0)
    got = bootstrap_intervals(predictions, {"exit1": 0.5}, TWO_COSTS)
    early = predictions.confidences[0] >= 0.5
    right = np.where(early, predictions.correct[0], predictions.correct[1])
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 300, (20_000, 300))
    for values, interval in (
        (right, got.adaptive_accuracy),
        (predictions.correct[1], got.backbone_accuracy),
        (predictions.correct[1].astype(int) - right, got.accuracy_drop),
        (np.where(early, 2.0, 5.0), got.average_cost),
    ):
        low, high = np.quantile(values[rows].mean(axis=1), (0.025, 0.975))
        assert interval.low == pytest.approx(low, abs=0.012)
        assert interval.high == pytest.approx(high, abs=0.012)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    truth = 0.5 * 0.8 + 0.5 * 0.9
    inside = 0
    for seed in range(200):
        got = bootstrap_intervals(draw(400, seed), {"exit1": 0.5}, TWO_COSTS).adaptive_accuracy
        inside += got.low <= truth <= got.high
    assert 0.9 <= inside / 200 <= 0.99


def test_the_drop_is_paired() -> None:
    predictions = draw(400, 3)
    same = bootstrap_intervals(predictions, {"exit1": NEVER}, TWO_COSTS)
    assert (same.accuracy_drop.low, same.accuracy_drop.high) == (0, 0)
    assert (same.average_cost.low, same.average_cost.high) == pytest.approx((4, 4))
    assert same.adaptive_accuracy == same.backbone_accuracy
