"""Arguments that do not fit: one line with what was expected and what was got."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest

SHAPE = (2, 3, 4, 4)


@pytest.fixture
def session(bundle: Path) -> Iterator[ee.Session]:
    with ee.load(bundle, threads=1) as session:
        yield session


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros(SHAPE, np.uint8),
            "images: expected a float32 array (N, C, H, W), got uint8; session.preprocess() makes "
            "it from uint8",
        ),
        (
            np.zeros(SHAPE, np.float64),
            "images: expected a float32 array (N, C, H, W), got float64",
        ),
        (np.zeros(SHAPE, ">f4"), "images: expected a float32 array (N, C, H, W), got >f4"),
        ([[0.0]], "images: expected a float32 array (N, C, H, W), got list"),
        (None, "images: expected a float32 array (N, C, H, W), got NoneType"),
        (
            np.zeros((3, 4, 4), np.float32),
            "images: expected shape (N, 3, 4, 4), got (3, 4, 4)",
        ),
        (
            np.zeros((2, 4, 4, 3), np.float32),
            "images: expected shape (N, 3, 4, 4), got (2, 4, 4, 3)",
        ),
        (
            np.zeros((0, 1, 4, 4), np.float32),
            "images: expected shape (N, 3, 4, 4), got (0, 1, 4, 4)",
        ),
        (np.float32(1), "images: expected a float32 array (N, C, H, W), got float32"),
    ],
)
def test_images_of_another_dtype_or_shape(session: ee.Session, images: Any, message: str) -> None:
    with pytest.raises(ee.InputError, match=f"^{re.escape(message)}$"):
        session.infer(images)


@pytest.mark.parametrize("values", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf, np.nan]])
@pytest.mark.parametrize("count", [1, 9])
def test_images_that_are_not_finite(session: ee.Session, values: list[float], count: int) -> None:
    images = np.zeros((count, 3, 4, 4), np.float32)
    images[-1, -1, -1, -len(values) :] = values
    message = r"^images: expected finite values, got NaN or infinity$"
    with pytest.raises(ee.InputError, match=message):
        session.infer(images)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        (
            {"exit1": 0.5, "exit2": 0.5, "exit9": 0.5},
            "thresholds: no exit 'exit9' takes one; known: exit1, exit2",
        ),
        ({"exit1": 0.5}, "thresholds: none given for exit2"),
        (
            {"exit1": 0.5, "exit2": -1},
            "thresholds: exit2: expected 0 to 1 (or 2.0 for never), got -1",
        ),
    ],
)
def test_thresholds_that_do_not_fit_change_nothing(
    session: ee.Session, thresholds: dict[str, float], message: str
) -> None:
    with pytest.raises(ee.InputError, match=f"^{re.escape(message)}$"):
        session.thresholds = thresholds
    assert dict(session.thresholds) == {"exit1": 0.6, "exit2": 0.6}


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_below_one(bundle: Path, threads: int) -> None:
    message = f"threads: expected a whole number above 0, got {threads}"
    for load in (ee.load, ee.load_baseline):
        with pytest.raises(ee.InputError, match=f"^{re.escape(message)}$"):
            load(bundle, threads=threads)


def test_unknown_backend(bundle: Path) -> None:
    message = "backend: expected one of auto, tensorrt, onnxruntime, openvino, got 'abacus'"
    with pytest.raises(ee.InputError, match=f"^{re.escape(message)}$"):
        ee.load(bundle, backend="abacus")


def test_all_errors_are_edgeexits() -> None:
    for error in (ee.BackendError, ee.BundleError, ee.InputError):
        assert issubclass(error, ee.EdgeExitError)
        assert error.exit_code == 1
