"""Halves of images, and why no thresholds can be chosen."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexit.bench.advice.basis import halves


@pytest.mark.parametrize("count", [2, 40, 101])
def test_halves_have_every_image_once(count: int) -> None:
    choosing, judging = halves(count, seed=3)
    assert (len(choosing), len(judging)) == (count // 2, count - count // 2)
    assert sorted([*choosing, *judging]) == list(range(count))
    assert np.array_equal(choosing, halves(count, seed=3)[0])
    assert count == 2 or not np.array_equal(choosing, halves(count, seed=1)[0])
