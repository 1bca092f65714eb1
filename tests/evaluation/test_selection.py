from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeexit.errors import TuningError
from edgeexit.evaluation import (
    ExitPredictions,
    SearchResult,
    Setting,
    cheapest_with_accuracy,
    cheapest_within_drop,
    most_accurate_within_macs,
    pareto_front,
    search_thresholds,
)

SAMPLES = 50
PATHS = (10, 25, 45, 70)


def random_result(branches: int, seed: int = 0) -> SearchResult:
    random = np.random.default_rng(seed)
    exits = branches + 1
    names = (*(f"exit{number}" for number in range(1, exits)), "final")
    targets = np.zeros(SAMPLES, np.int64)
    confidences = random.integers(1, 9, (exits, SAMPLES)) / 8
    # sure answers are right more often, later exits too
    right = random.random((exits, SAMPLES)) < confidences + 0.1 * np.arange(exits)[:, None]
    predictions = ExitPredictions(
        names, confidences.astype(np.float32), (~right).astype(np.int64), targets
    )
    grid = np.array([0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 2], np.float32)
    return search_thresholds(predictions, dict(zip(names, PATHS, strict=False)), (grid,) * branches)


def settings(result: SearchResult) -> list[Setting]:
    return [result.setting(flat) for flat in range(result.correct.size)]


def right(setting: Setting) -> int:
    return round(setting.accuracy * SAMPLES)


def highest(candidates: list[Setting]) -> Setting:
    return max(candidates, key=lambda setting: tuple(setting.thresholds.values()))


def table(
    correct: list[int], cost: list[int], samples: int = 100, backbone: int = 95
) -> SearchResult:
    """Return a search over one exit, with thresholds 0, 0.01, 0.02, ..."""
    grid = (np.arange(len(correct)) / 100).astype(np.float32)
    return SearchResult(
        ("exit1",),
        (grid,),
        np.array(correct, np.int32),
        np.array(cost, np.int64),
        samples,
        backbone,
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("branches", [0, 1, 2, 3])
def test_choices_equal_those_of_a_list_of_all_settings(branches: int, seed: int) -> None:
    result = random_result(branches, seed)
    everything = settings(result)
    best = max(setting.accuracy for setting in everything)
    least = min(setting.average_macs for setting in everything)

    for wanted in (0.0, best - 0.1, best - 0.03, best):
        allowed = [s for s in everything if s.accuracy >= wanted]
        cost = min(s.average_macs for s in allowed)
        accuracy = max(s.accuracy for s in allowed if s.average_macs == cost)
        expected = highest([s for s in allowed if (s.average_macs, s.accuracy) == (cost, accuracy)])
        assert cheapest_with_accuracy(result, wanted) == expected

    for lost in (0, 1, 5, 20):
        allowed = [s for s in everything if right(s) >= result.backbone_correct - lost]
        cost = min(s.average_macs for s in allowed)
        accuracy = max(s.accuracy for s in allowed if s.average_macs == cost)
        expected = highest([s for s in allowed if (s.average_macs, s.accuracy) == (cost, accuracy)])
        assert cheapest_within_drop(result, lost / SAMPLES) == expected

    for budget in (least, 1.5 * least, 2.5 * least, 1e9):
        allowed = [s for s in everything if s.average_macs <= budget]
        accuracy = max(s.accuracy for s in allowed)
        cost = min(s.average_macs for s in allowed if s.accuracy == accuracy)
        expected = highest([s for s in allowed if (s.average_macs, s.accuracy) == (cost, accuracy)])
        assert most_accurate_within_macs(result, budget) == expected


@pytest.mark.parametrize("branches", [0, 1, 2, 3])
def test_front_is_every_setting_that_no_other_beats(branches: int) -> None:
    result = random_result(branches)
    everything = settings(result)
    outcomes = {(s.accuracy, s.average_macs) for s in everything}
    unbeaten = sorted(
        (cost, accuracy)
        for accuracy, cost in outcomes
        if not any(
            (a >= accuracy and c <= cost) and (a, c) != (accuracy, cost) for a, c in outcomes
        )
    )
    front = pareto_front(result)

    assert [(s.average_macs, s.accuracy) for s in front] == unbeaten
    for member in front:
        same = [
            s
            for s in everything
            if (s.accuracy, s.average_macs) == (member.accuracy, member.average_macs)
        ]
        assert member == highest(same)
    assert len(front) > 3 * branches


def test_front_by_hand() -> None:
    # 0.01 is beaten by 0.02 at the same cost, 0.03 by 0.02, 0.04 and 0.05 are equal
    result = table([80, 85, 90, 90, 95, 95], [100, 200, 200, 300, 400, 400])
    front = [(s.thresholds["exit1"], s.accuracy, s.average_macs) for s in pareto_front(result)]
    assert front == [(0.0, 0.8, 1.0), (0.02, 0.9, 2.0), (0.05, 0.95, 4.0)]


def test_ties_go_to_the_better_then_to_the_higher_threshold() -> None:
    result = table([90, 92, 92, 91, 97], [200, 200, 200, 200, 500])
    assert cheapest_with_accuracy(result, 0.9).thresholds == {"exit1": 0.02}
    result = table([92, 92, 92, 92, 97], [300, 200, 200, 250, 500])
    assert most_accurate_within_macs(result, 3.0).thresholds == {"exit1": 0.02}


@pytest.mark.parametrize("samples", [7, 10, 97, 100, 1000])
def test_limits_are_met_exactly_where_fractions_are_not_exact_in_binary(samples: int) -> None:
    result = table(
        list(range(samples + 1)), list(range(samples + 1)), samples=samples, backbone=samples
    )
    for correct in range(samples + 1):
        assert cheapest_with_accuracy(result, correct / samples).accuracy == correct / samples
        drop = (samples - correct) / samples
        assert cheapest_within_drop(result, drop).accuracy == correct / samples
        cost = correct / samples
        if cost:
            assert most_accurate_within_macs(result, cost).average_macs <= cost


def test_accuracy_out_of_reach_names_the_nearest() -> None:
    result = table([80, 93, 93], [100, 30_000, 20_000])
    with pytest.raises(TuningError) as error:
        cheapest_with_accuracy(result, 0.94)
    assert str(error.value) == (
        "no thresholds reach an accuracy of 0.9400 on these 100 samples: the nearest is accuracy "
        "0.9300 at 200 MACs on average (exit1 0.02); ask for 0.9300 or less"
    )
    assert error.value.exit_code == 1


def test_an_exit_that_is_off_is_named_so() -> None:
    result = random_result(1)
    with pytest.raises(TuningError, match=r"\(exit1 never\)"):
        cheapest_with_accuracy(replace(result, correct=np.arange(8, dtype=np.int32)), 1.0)


def test_the_accuracy_that_is_offered_can_be_reached() -> None:
    result = table([1, 2], [1, 2], samples=3)  # 0.66666 must not be rounded up
    with pytest.raises(TuningError, match=r"ask for 0\.6666 or less"):
        cheapest_with_accuracy(result, 0.67)
    assert cheapest_with_accuracy(result, 0.6666).accuracy == 2 / 3


def test_drop_out_of_reach_names_the_nearest() -> None:
    result = table([80, 93], [100, 200], backbone=95)
    with pytest.raises(
        TuningError, match=r"the backbone's accuracy of 0\.9500 within 0\.0100 .*accuracy 0\.9300"
    ):
        cheapest_within_drop(result, 0.01)
    assert cheapest_within_drop(result, 0.02).accuracy == 0.93


@pytest.mark.parametrize("drop", [-0.01, float("nan")])
def test_a_drop_that_is_none_is_refused(drop: float) -> None:
    with pytest.raises(TuningError, match=f"expected a drop in accuracy of 0 to 1, got {drop}"):
        cheapest_within_drop(table([80], [1]), drop)


def test_cost_out_of_reach_names_the_nearest() -> None:
    result = table([80, 85, 90], [5_000_050, 5_000_050, 9_000_000])
    with pytest.raises(TuningError) as error:
        most_accurate_within_macs(result, 20_000)
    assert str(error.value) == (
        "no thresholds keep the average cost within 20,000 MACs: the lowest is accuracy 0.8500 at "
        "50,000 MACs on average (exit1 0.01); allow 50,001 or more"
    )
    assert most_accurate_within_macs(result, 50_001).accuracy == 0.85


def test_a_plain_backbone_has_one_setting() -> None:
    result = random_result(0)
    setting = cheapest_within_drop(result, 0.0)
    assert setting == Setting({}, result.backbone_correct / SAMPLES, PATHS[0])
    with pytest.raises(TuningError, match="no branches"):
        cheapest_with_accuracy(result, 1.1)
