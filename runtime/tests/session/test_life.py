"""What a session keeps, shares and gives back."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

Images = NDArray[np.float32]


def test_context_manager_closes_after_an_exception(
    bundle: Path, random_images: Callable[[int, int], Images]
) -> None:
    with pytest.raises(ZeroDivisionError), ee.load(bundle, threads=1) as session:
        raise ZeroDivisionError
    with pytest.raises(ee.InputError, match="the session is closed"):
        session.infer(random_images(1, 0))


def test_session_goes_on_after_refused_images(
    bundle: Path, images_leaving_at: Callable[[list[int]], Images]
) -> None:
    images = images_leaving_at([1, 0, 2])
    with ee.load(bundle, threads=1) as session:
        with pytest.raises(ee.InputError):
            session.infer(images[:, :1])
        assert session.infer(images).exits.tolist() == [1, 0, 2]


def test_setting_thresholds_again_and_again_keeps_no_old_bindings(
    bundle: Path, random_images: Callable[[int, int], Images]
) -> None:
    images = random_images(5, 0)
    counts = []
    with ee.load(bundle, threads=1) as session:
        for _ in range(20):
            session.thresholds = {"exit1": 0.5, "exit2": 0.5}
            session.infer(images)
            gc.collect()
            counts.append(sum(type(thing) is onnxruntime.IOBinding for thing in gc.get_objects()))
    assert counts[0] > 0
    assert counts == counts[:1] * 20
