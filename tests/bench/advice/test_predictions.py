"""Halves of images, and the answers of all exits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeexit.bench.advice.predictions import halves, predict_exits


@pytest.mark.parametrize("count", [2, 40, 101])
def test_halves_have_every_image_once(count: int) -> None:
    choosing, judging = halves(count, seed=3)
    assert (len(choosing), len(judging)) == (count // 2, count - count // 2)
    assert sorted([*choosing, *judging]) == list(range(count))
    assert np.array_equal(choosing, halves(count, seed=3)[0])


def test_halves_differ_by_seed() -> None:
    assert not np.array_equal(halves(100, seed=0)[0], halves(100, seed=1)[0])


def test_images_without_labels_are_refused() -> None:
    chain: Any = None  # not asked
    images: Any = SimpleNamespace(labels=None)
    with pytest.raises(ValueError, match="images: expected some with labels"):
        predict_exits(chain, images)
