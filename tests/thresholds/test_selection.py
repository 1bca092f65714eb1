from __future__ import annotations

import itertools

import numpy as np
import pytest
from edgeexit_runtime.gate import NEVER
from support.messages import refused
from support.settings import GRID, costs_of, one_by_one, random_predictions

from edgeexit.errors import TuningError
from edgeexit.evaluation import PathCosts
from edgeexit.thresholds import Front, Limits, Setting, best_setting, search_thresholds

SAMPLES = 60


def table(
    correct: list[int],
    cost: list[int],
    samples: int = 100,
    backbone: int = 95,
    costs: PathCosts | None = None,
) -> Front:
    """Return a front over one exit, with thresholds 0, 0.01, 0.02, ..."""
    return Front(
        costs=costs or PathCosts(("exit1", "final"), (1, 2), (1, 1), 2),
        thresholds=(np.arange(len(correct))[:, None] / 100).astype(np.float32),
        correct=np.array(correct, np.int64),
        cost=np.array(cost, np.int64),
        samples=samples,
        backbone_correct=backbone,
        settings=len(correct),
        exact=True,
    )


@pytest.mark.parametrize("branches", [1, 2, 3])
def test_choices_equal_those_of_a_list_of_all_settings(branches: int) -> None:
    predictions = random_predictions(branches, samples=SAMPLES, seed=3)
    costs = costs_of(predictions)
    front = search_thresholds(predictions, costs, (GRID,) * branches)
    everything = []
    for values in itertools.product(GRID.tolist(), repeat=branches):
        outcome = one_by_one(predictions, costs, values)
        thresholds = [float(str(np.float32(value))) for value in values]
        everything.append((outcome.correct, outcome.cost, thresholds))
    best = max(correct for correct, _, _ in everything)
    least = min(cost for _, cost, _ in everything)

    def expected(needed: int, budget: float, by_cost: bool) -> list[float] | None:
        kept = [s for s in everything if s[0] >= needed and s[1] <= budget * SAMPLES]
        order = (lambda s: (-s[1], s[0], s[2])) if by_cost else (lambda s: (s[0], -s[1], s[2]))
        return max(kept, key=order)[2] if kept else None

    for needed, budget in itertools.product(
        (None, 0, best - 6, best - 2, best, best + 1), (None, 0.9, 1, 1.5, 2.5, 100)
    ):
        max_cost = None if budget is None else budget * least / SAMPLES
        asked = [
            Limits(min_accuracy=None if needed is None else needed / SAMPLES, max_cost=max_cost)
        ]
        if needed is not None and needed <= front.backbone_correct:
            drop = (front.backbone_correct - needed) / SAMPLES
            asked.append(Limits(max_drop=drop, max_cost=max_cost))
        for limits in asked:
            want = expected(needed or 0, 1e9 if max_cost is None else max_cost, needed is not None)
            if want is None:
                with pytest.raises(TuningError, match="no thresholds"):
                    best_setting(front, limits)
            else:
                assert [*best_setting(front, limits).thresholds.values()] == want


@pytest.mark.parametrize("samples", [7, 10, 97, 100, 1000])
def test_limits_are_met_exactly_where_fractions_are_not_exact_in_binary(samples: int) -> None:
    counts = list(range(samples + 1))
    front = table(counts, counts, samples=samples, backbone=samples)
    for correct in counts:
        wanted = Limits(min_accuracy=correct / samples)
        assert best_setting(front, wanted).accuracy == correct / samples
        drop = Limits(max_drop=(samples - correct) / samples)
        assert best_setting(front, drop).accuracy == correct / samples
        cost = correct / samples
        if cost:
            assert best_setting(front, Limits(max_cost=cost)).average_cost <= cost


MEASURED = PathCosts.measured({"exit1": 0.123456789, "final": 2.0}, {}, None, "ms")


@pytest.mark.parametrize(
    ("front", "limits", "facts"),
    [
        (
            table([80, 93], [100, 20_000]),
            Limits(min_accuracy=0.94),
            ("0.9400", "100 samples", "nearest", "0.9300 at 200 MACs", "exit1 0.01", "0.9300 or"),
        ),
        (
            table([80, 93], [100, 200], backbone=95),
            Limits(max_drop=0.01),
            ("the backbone's accuracy of 0.9500 within 0.0100", "accuracy 0.9300"),
        ),
        (
            table([85, 90], [5_000_050, 9_000_000]),
            Limits(max_cost=20_000),
            ("within 20,000 MACs", "0.8500 at 50,000 MACs", "exit1 0.0", "allow 50,001"),
        ),
        (
            table([85], [100 * MEASURED.paths[0]], costs=MEASURED),
            Limits(max_cost=0.1),
            ("within 0.1 ms", "allow 0.123457 or more"),
        ),
        (
            table([80, 90, 95], [1000, 2000, 4000]),
            Limits(min_accuracy=0.92, max_cost=25),
            (
                *("cheapest", "accuracy 0.9500 at 40 MACs", "exit1 0.02"),
                *("most accurate", "accuracy 0.9000 at 20 MACs", "exit1 0.01", "give up some"),
            ),
        ),
    ],
    ids=["accuracy", "drop", "cost", "measured cost", "both"],
)
def test_limits_out_of_reach_name_the_nearest(
    front: Front, limits: Limits, facts: tuple[str, ...]
) -> None:
    with refused(TuningError, *facts):
        best_setting(front, limits)


@pytest.mark.parametrize(
    ("front", "limits", "accuracy"),
    [
        (table([80, 93], [100, 200], backbone=95), Limits(max_drop=0.02), 0.93),
        (table([85, 90], [5_000_050, 9_000_000]), Limits(max_cost=50_001), 0.85),
        (table([85], [100 * MEASURED.paths[0]], costs=MEASURED), Limits(max_cost=0.123457), 0.85),
    ],
)
def test_what_is_offered_can_be_had(front: Front, limits: Limits, accuracy: float) -> None:
    assert best_setting(front, limits).accuracy == accuracy


def test_an_exit_that_is_off_is_named_so() -> None:
    front = table([80], [100])
    front.thresholds[:] = NEVER
    with pytest.raises(TuningError, match=r"\(exit1 never\)"):
        best_setting(front, Limits(min_accuracy=1.0))


def test_the_accuracy_that_is_offered_can_be_reached() -> None:
    front = table([1, 2], [1, 2], samples=3)  # 0.66666 must not be rounded up
    with pytest.raises(TuningError, match=r"ask for 0\.6666 or less"):
        best_setting(front, Limits(min_accuracy=0.67))
    assert best_setting(front, Limits(min_accuracy=0.6666)).accuracy == 2 / 3


@pytest.mark.parametrize("drop", [-0.01, float("nan")])
def test_a_drop_that_is_none_is_refused(drop: float) -> None:
    with pytest.raises(TuningError, match=f"expected a drop in accuracy of 0 to 1, got {drop}"):
        Limits(max_drop=drop)


def test_a_plain_backbone_has_one_setting() -> None:
    predictions = random_predictions(0)
    front = search_thresholds(predictions, costs_of(predictions))
    setting = best_setting(front, Limits(max_drop=0.0))
    assert setting == Setting({}, front.backbone_correct / SAMPLES, 7)
    with pytest.raises(TuningError, match="no branches"):
        best_setting(front, Limits(min_accuracy=1.0))
