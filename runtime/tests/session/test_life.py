"""What a session keeps, shares and gives back."""

from __future__ import annotations

import gc
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import onnxruntime
import pytest
from edgeexit_runtime.testing import random_images
from numpy.typing import NDArray

Images = NDArray[np.float32]


def test_context_manager_closes_after_an_exception(bundle: Path) -> None:
    with pytest.raises(ZeroDivisionError), ee.load(bundle, threads=1) as session:
        raise ZeroDivisionError
    with pytest.raises(ee.InputError, match="the session is closed"):
        session.infer(random_images(1, 0))


def test_setting_thresholds_again_and_again_keeps_no_old_bindings(bundle: Path) -> None:
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
