from __future__ import annotations

import itertools

import numpy as np
import pytest
from edgeexit_runtime.gate import NEVER
from numpy.typing import NDArray

from edgeexit.errors import TuningError
from edgeexit.evaluation import (
    ExitPredictions,
    confidence_grids,
    leaving_exits,
    search_thresholds,
)

PATHS = (7, 19, 11, 40)  # not even ascending: nothing may rest on it


def random_predictions(branches: int, samples: int = 60, seed: int = 0) -> ExitPredictions:
    """Return predictions whose confidences are few, so that many are equal to grid values."""
    random = np.random.default_rng(seed)
    exits = branches + 1
    return ExitPredictions(
        (*(f"exit{number}" for number in range(1, exits)), "final"),
        (random.integers(2, 11, (exits, samples)) / 10).astype(np.float32),
        random.integers(0, 2, (exits, samples)),
        random.integers(0, 2, samples),
    )


def paths_of(predictions: ExitPredictions) -> dict[str, int]:
    return dict(zip(predictions.exit_names, PATHS, strict=False))


def grid(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def one_by_one(predictions: ExitPredictions, gammas: tuple[float, ...]) -> tuple[int, int]:
    """Return correct answers and cost of one setting, by a loop over samples."""
    correct = cost = 0
    for n in range(len(predictions.targets)):
        exit_ = 0
        while exit_ < len(gammas) and not predictions.confidences[exit_, n] >= gammas[exit_]:
            exit_ += 1
        correct += int(predictions.labels[exit_, n] == predictions.targets[n])
        cost += PATHS[exit_]
    return correct, cost


GRIDS = {
    "with never": (grid(0, 0.3, 0.5, 0.8, NEVER), grid(0.5, 0.7, 0.9, NEVER), grid(0.4, 1, NEVER)),
    "without never": (grid(0.4, 0.6), grid(0.25, 0.5, 0.75), grid(0.2, 0.7, 0.8, 1)),
}


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("branches", [0, 1, 2, 3])
def test_search_equals_every_setting_tried(branches: int, kind: str) -> None:
    predictions = random_predictions(branches)
    grids = GRIDS[kind][:branches]
    result = search_thresholds(predictions, paths_of(predictions), grids)

    assert result.exit_names == predictions.exit_names[:-1]
    assert result.correct.shape == result.cost.shape == tuple(len(values) for values in grids)
    assert result.samples == 60
    assert result.backbone_correct == int(predictions.correct[-1].sum())
    for index in itertools.product(*(range(len(values)) for values in grids)):
        gammas = tuple(values[t] for values, t in zip(grids, index, strict=True))
        expected = one_by_one(predictions, gammas)
        assert (result.correct[index], result.cost[index]) == expected, gammas


@pytest.mark.parametrize("branches", [0, 1, 2, 3])
def test_setting_gives_back_what_was_counted(branches: int) -> None:
    predictions = random_predictions(branches, seed=1)
    grids = tuple(values[::9] for values in confidence_grids(predictions, 120))
    result = search_thresholds(predictions, paths_of(predictions), grids)
    random = np.random.default_rng(0)
    for flat in random.integers(0, result.correct.size, 40):
        setting = result.setting(int(flat))
        assert list(setting.thresholds) == list(predictions.exit_names[:-1])
        left_at = leaving_exits(predictions, setting.thresholds)
        right = predictions.correct[left_at, np.arange(60)].sum()
        assert setting.accuracy == right / 60
        assert setting.average_macs == sum(PATHS[m] for m in left_at) / 60


def test_nan_confidences_leave_nowhere() -> None:
    predictions = random_predictions(2)
    predictions.confidences[:, ::3] = np.nan
    grids = GRIDS["with never"][:2]
    result = search_thresholds(predictions, paths_of(predictions), grids)
    assert (result.correct[0, 0], result.cost[0, 0]) == one_by_one(predictions, (0.0, 0.5))


def test_cost_is_exact_beyond_the_integers_of_float64() -> None:
    samples = 1_000_001
    predictions = ExitPredictions(
        ("exit1", "final"),
        np.full((2, samples), 0.5, np.float32),
        np.zeros((2, samples), np.int64),
        np.zeros(samples, np.int64),
    )
    path_macs = {"exit1": 9_007_199_999, "final": 9_007_200_001}
    result = search_thresholds(predictions, path_macs, (grid(0.5, NEVER),))
    assert result.cost.tolist() == [samples * 9_007_199_999, samples * 9_007_200_001]


def test_grid_holds_hundredths_never_and_quantiles() -> None:
    random = np.random.default_rng(0)
    predictions = random_predictions(3, samples=5000)
    predictions.confidences[:] = 1 - 1e-3 * random.random((4, 5000), np.float32)  # all above 0.999
    for values, confidences in zip(
        confidence_grids(predictions), predictions.confidences, strict=False
    ):
        assert values.dtype == np.float32
        assert len(values) == 200
        assert (np.diff(values) > 0).all()
        assert set(values) >= {np.float32(k / 100) for k in range(101)} | {np.float32(NEVER)}
        # the samples are spread over the values in between, evenly
        shares = np.diff([(confidences >= value).mean() for value in values])
        assert -shares.min() < 0.02


def test_quantiles_lie_between_samples() -> None:
    predictions = random_predictions(1, samples=4)
    predictions.confidences[0] = [0.901, 0.909, 0.905, 0.903]
    (values,) = confidence_grids(predictions, 150)
    fixed = {np.float32(k / 100) for k in range(101)} | {np.float32(NEVER)}
    extra = sorted(set(values) - fixed)
    assert extra == pytest.approx([0.902, 0.904, 0.906 + 0.001], abs=1e-6)


def test_thresholds_read_as_the_float32_that_was_searched() -> None:
    random = np.random.default_rng(2)
    predictions = random_predictions(1, samples=3000)
    predictions.confidences[:] = random.random((2, 3000), np.float32)
    grids = confidence_grids(predictions, 1000)
    result = search_thresholds(predictions, paths_of(predictions), grids)
    thresholds = [result.setting(flat).thresholds["exit1"] for flat in range(len(grids[0]))]
    assert [np.float32(value) for value in thresholds] == grids[0].tolist()
    assert {0.07, 0.29, 0.94, 1.0, NEVER} <= set(thresholds)  # not 0.9399999976158142


@pytest.mark.parametrize(("branches", "least"), [(1, 3000), (2, 2000), (3, 200)])
def test_fewer_branches_get_finer_grids(branches: int, least: int) -> None:
    random = np.random.default_rng(2)
    predictions = random_predictions(branches, samples=4000)
    predictions.confidences[:] = random.random((branches + 1, 4000), np.float32)
    assert all(len(values) >= least for values in confidence_grids(predictions))


def test_more_than_three_branches_are_refused() -> None:
    predictions = random_predictions(4)
    message = "up to 3 branches, this one has 4"
    with pytest.raises(TuningError, match=message):
        confidence_grids(predictions)
    with pytest.raises(TuningError, match=message):
        search_thresholds(predictions, paths_of(predictions), (grid(0, 1),) * 4)


def test_too_many_settings_are_refused() -> None:
    predictions = random_predictions(3)
    values = np.linspace(0, 1, 1000, dtype=np.float32)
    with pytest.raises(TuningError, match="1000 x 1000 x 1000 values make 1,000,000,000 settings"):
        search_thresholds(predictions, paths_of(predictions), (values,) * 3)


def test_too_small_a_grid_is_refused() -> None:
    with pytest.raises(TuningError, match=r"grid of at least 102 values per exit .*got 101"):
        confidence_grids(random_predictions(1), 101)


@pytest.mark.parametrize(
    "grids",
    [(grid(0.5),), (grid(0.5), grid()), (grid(0.5), grid(0.5, 0.5)), (grid(0.5), np.zeros(1))],
    ids=["one missing", "empty", "not ascending", "float64"],
)
def test_grids_that_do_not_fit_are_refused(grids: tuple[NDArray[np.float32], ...]) -> None:
    predictions = random_predictions(2)
    with pytest.raises(ValueError, match=r"expected (a grid for each|ascending float32 values)"):
        search_thresholds(predictions, paths_of(predictions), grids)
