"""Arguments that do not fit: one line with what was expected and what was got."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from support.messages import refused

SHAPE = (2, 3, 4, 4)


@pytest.fixture
def session(bundle: Path) -> Iterator[ee.Session]:
    with ee.load(bundle, threads=1) as session:
        yield session


@pytest.mark.parametrize(
    ("images", "facts"),
    [
        (np.zeros(SHAPE, np.uint8), ("float32", "(N, C, H, W)", "uint8", "preprocess()")),
        (np.zeros(SHAPE, np.float64), ("float32", "(N, C, H, W)", "float64")),
        (np.zeros(SHAPE, ">f4"), ("float32", "(N, C, H, W)", ">f4")),
        ([[0.0]], ("float32", "(N, C, H, W)", "list")),
        (None, ("float32", "(N, C, H, W)", "NoneType")),
        (np.float32(1), ("array (N, C, H, W)", "float32")),
        (np.zeros((3, 4, 4), np.float32), ("(N, 3, 4, 4)", "(3, 4, 4)")),
        (np.zeros((2, 4, 4, 3), np.float32), ("(N, 3, 4, 4)", "(2, 4, 4, 3)")),
        (np.zeros((0, 1, 4, 4), np.float32), ("(N, 3, 4, 4)", "(0, 1, 4, 4)")),
    ],
)
def test_images_of_another_dtype_or_shape(
    session: ee.Session, images: Any, facts: tuple[str, ...]
) -> None:
    for infer in (session.infer, session.infer_all_exits):
        with refused(ee.InputError, "images", *facts):
            infer(images)
    assert len(session.infer(np.zeros(SHAPE, np.float32)).labels) == 2


@pytest.mark.parametrize("values", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf, np.nan]])
@pytest.mark.parametrize("count", [1, 9])
def test_images_that_are_not_finite(session: ee.Session, values: list[float], count: int) -> None:
    images = np.zeros((count, 3, 4, 4), np.float32)
    images[-1, -1, -1, -len(values) :] = values
    message = r"^images: expected finite values, got NaN or infinity$"
    with pytest.raises(ee.InputError, match=message):
        session.infer(images)


@pytest.mark.parametrize(
    "thresholds",
    [{"exit1": 0.5, "exit2": 0.5, "exit9": 0.5}, {"exit1": 0.5}, {"exit1": 0.5, "exit2": -1}],
)
def test_thresholds_that_do_not_fit_change_nothing(
    session: ee.Session, thresholds: dict[str, float]
) -> None:
    with refused(ee.InputError, "thresholds"):
        session.thresholds = thresholds
    assert dict(session.thresholds) == {"exit1": 0.6, "exit2": 0.6}


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_below_one(bundle: Path, threads: int) -> None:
    for load in (ee.load, ee.load_baseline):
        with refused(ee.InputError, "threads", "whole number above 0", str(threads)):
            load(bundle, threads=threads)


def test_unknown_backend(bundle: Path) -> None:
    names = ("auto", "tensorrt", "onnxruntime", "openvino")
    with refused(ee.InputError, "backend", *names, "'abacus'"):
        ee.load(bundle, backend="abacus")
