"""Halves of images, and why no thresholds can be chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.messages import missing

from edgeexit.bench import BenchImages
from edgeexit.bench.advice.basis import basis_of, halves


@pytest.mark.parametrize("count", [2, 40, 101])
def test_halves_have_every_image_once(count: int) -> None:
    choosing, judging = halves(count, seed=3)
    assert (len(choosing), len(judging)) == (count // 2, count - count // 2)
    assert sorted([*choosing, *judging]) == list(range(count))
    assert np.array_equal(choosing, halves(count, seed=3)[0])


def test_halves_differ_by_seed() -> None:
    assert not np.array_equal(halves(100, seed=0)[0], halves(100, seed=1)[0])


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (None, "none were given"),
        (BenchImages("test", np.zeros((2, 3, 8, 8), np.float32), None), "these have none"),
    ],
)
def test_without_labels_nothing_can_be_chosen_and_no_exit_is_asked(
    images: BenchImages | None, got: str
) -> None:
    not_asked: Any = None
    said = basis_of(not_asked, images, not_asked)
    assert not missing(said, "images with labels", got)
