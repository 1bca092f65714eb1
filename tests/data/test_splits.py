from __future__ import annotations

import numpy as np
import pytest

from edgeexit.data.splits import hold_out_split, stratified_split
from edgeexit.errors import DataError


def test_every_sample_is_in_one_split_and_sizes_are_exact() -> None:
    labels = np.random.RandomState(1).randint(0, 7, 500)
    parts = stratified_split(labels, (0.6, 0.2, 0.2), "x")
    assert [len(part) for part in parts] == [300, 100, 100]
    assert sorted(np.concatenate(parts)) == list(range(500))


def test_classes_are_shared_out_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [1000, 100, 10])
    train, val = stratified_split(labels, (0.9, 0.1), "x")
    assert np.bincount(labels[val]) == pytest.approx([100, 10, 1], abs=1)
    assert np.bincount(labels[train]) == pytest.approx([900, 90, 9], abs=1)


def test_the_split_is_mixed_and_always_the_same() -> None:
    labels = [0] * 50 + [1] * 50
    first, second = (stratified_split(labels, (0.5, 0.5), "x")[0] for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, np.arange(50))
    # frozen: were it to change, a later evaluation would see training images
    assert stratified_split([0, 0, 0, 1, 1, 1], (0.5, 0.5), "x")[0].tolist() == [2, 3, 5]


def test_too_few_images_for_a_split() -> None:
    with pytest.raises(DataError, match="x: 3 images are too few to split into 3 parts"):
        stratified_split([0, 1, 1], (0.8, 0.1, 0.1), "x")


def test_what_is_held_out_of_a_class_is_mixed_and_always_the_same() -> None:
    labels = [0] * 50 + [1] * 50
    splits = [hold_out_split(labels, 10, "x", "ab") for _ in range(2)]
    (stays, held), again = splits
    assert np.array_equal(held, again[1])
    assert np.bincount(np.array(labels)[held]).tolist() == [10, 10]
    assert sorted([*stays, *held]) == list(range(100))
    for start in (0, 50):
        places = held[(held >= start) & (held < start + 50)] - start
        assert not np.array_equal(places, np.arange(10)), "not the first of the class"
        assert not np.array_equal(places, np.arange(40, 50)), "nor the last"
        assert places.max() - places.min() > 20
    # frozen: were it to change, a later evaluation would see training images
    assert hold_out_split([0, 0, 0, 1, 1, 1], 1, "x", "ab")[1].tolist() == [2, 5]
