"""The linear model of time: planted coefficients come back, and errors are of what was held out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.messages import missing

from edgeexit.bench.render.explanation import model_text
from edgeexit.bench.results.explanation import LinearModel
from edgeexit.bench.roofline.linear_model import Observation, fit_linear_model

PER_MAC, PER_BYTE, PER_CALL = 2e-8, 1e-7, 0.02  # ms


def observation(name: str, macs: float, moved: float, calls: float = 1) -> Observation:
    """Return what takes as long as the planted model says."""
    return Observation(
        name, macs, moved, calls, PER_MAC * macs + PER_BYTE * moved + PER_CALL * calls
    )


def parts(count: int = 8) -> list[Observation]:
    rng = np.random.default_rng(0)
    sizes = 10 ** rng.uniform(4, 8, (count, 2))
    return [observation(f"part{i}", *row) for i, row in enumerate(sizes.tolist())]


PATHS = [observation("exit1", 3e7, 5e6, 2), observation("final", 9e7, 8e6, 4)]
PLAIN = observation("baseline", 8e7, 6e6)


def fit(on: list[Observation]) -> LinearModel:
    model = fit_linear_model(on, PATHS, PLAIN)
    assert model is not None
    return model


def test_planted_coefficients_are_recovered() -> None:
    model = fit(parts())
    found = model.ms_per_mac, model.ms_per_byte, model.ms_per_call
    assert found == pytest.approx((PER_MAC, PER_BYTE, PER_CALL))
    assert (model.parts, model.is_overfitted) == (8, False)
    for error in (
        model.fit_error,
        model.leave_one_out_error,
        model.baseline_error,
        model.model_error,
    ):
        assert error == pytest.approx(0, abs=1e-9)


def test_eq5_is_judged_on_the_same_paths() -> None:
    model = fit(parts())
    ratios = [path.measured_ms / PLAIN.measured_ms for path in PATHS]
    assert [p.measured_ratio for p in model.predictions] == ratios
    assert [p.macs_ratio for p in model.predictions] == [3 / 8, 9 / 8]
    errors = [abs(macs / ratio - 1) for macs, ratio in zip((3 / 8, 9 / 8), ratios, strict=True)]
    assert model.eq5_error == pytest.approx(np.mean(errors))


def test_no_coefficient_is_negative() -> None:
    """What moves more takes less: least squares alone would give bytes a negative rate."""
    on = [
        Observation(f"part{i}", macs, 1e9 - macs, 1, 1e-8 * macs)
        for i, macs in enumerate((1e6, 4e6, 2e7, 6e7, 1e8))
    ]
    model = fit(on)
    assert model.ms_per_mac == pytest.approx(1e-8)
    assert (model.ms_per_byte, model.ms_per_call) == (0, 0)


def test_relative_errors_count_so_that_small_parts_do() -> None:
    on = [*parts(6), observation("tiny", 0, 0)]
    on[0] = dataclasses.replace(on[0], measured_ms=1.5 * on[0].measured_ms)
    tiny = on[-1]
    # in milliseconds the large part that is off would outweigh the tiny one by far
    assert fit(on).ms_per_call * tiny.calls == pytest.approx(tiny.measured_ms, rel=0.5)


def test_too_few_parts() -> None:
    assert fit_linear_model(parts(3), PATHS, PLAIN) is None
    four, five = fit(parts(4)), fit(parts(5))
    assert (four.leave_one_out_error, four.worst_left_out, four.is_overfitted) == (None, None, True)
    assert five.leave_one_out_error is not None
    assert five.is_overfitted


def test_the_part_that_the_others_predict_worst_is_named_and_its_error_exceeds_the_fits() -> None:
    """Nothing else takes so long for nothing but being called."""
    on = [
        Observation(f"part{i}", macs, 0, 1, 1e-8 * macs) for i, macs in enumerate((1e6, 2e6, 4e6))
    ]
    on += [Observation("part3", 8e6, 0, 1, 0.08), Observation("odd", 1e4, 0, 1, 5.0)]
    model = fit(on)
    assert model.leave_one_out_error is not None
    assert model.leave_one_out_error > model.fit_error > 0
    assert model.worst_left_out == "odd"


def test_words_of_the_model() -> None:
    (none,) = model_text(None, 2)
    assert not missing(none, "No linear model", "2 stages and branches", "too few", "3 coefficient")
    slow = dataclasses.replace(PLAIN, measured_ms=2 * PLAIN.measured_ms)
    formula, errors, doubt = model_text(fit_linear_model(parts(4), PATHS, slow), 4)
    assert formula.endswith(": time = 0.02 ms x MMACs + 0.1 ms x MB + 0.02 ms x graphs.")
    assert not missing(errors, "not fitted on", "100%", "Eq. 5's by 66%", "backbone", "-50%")
    assert not missing(doubt, "4 parts are few for 3 coefficients")
