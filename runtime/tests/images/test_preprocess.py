"""uint8 images to normalized tensors, against the formula as it is usually written."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from edgeexit_runtime.errors import InputError
from edgeexit_runtime.images.preprocess import Preprocessing

IMAGENET = Preprocessing((3, 5, 4), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=256)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_plain_formula(count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 5, 4, 3), np.uint8)
    result = IMAGENET(images)
    assert result.shape == (count, 3, 5, 4)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    plain = (images / 255.0 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)  # float64
    np.testing.assert_allclose(result, plain.transpose(0, 3, 1, 2), atol=2e-6)


def test_one_channel_and_the_ends_of_the_scale() -> None:
    grey = Preprocessing((1, 1, 2), (0.5,), (0.25,))
    result = grey(np.array([[[[0], [255]]]], np.uint8))
    np.testing.assert_allclose(result, [[[[-2.0, 2.0]]]], rtol=1e-6)


def test_images_are_not_changed_and_may_lie_in_any_way() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 4, 3), np.uint8)
    images.flags.writeable = False
    np.testing.assert_array_equal(IMAGENET(images[::2]), IMAGENET(images[::2].copy()))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((1, 5, 4, 3), np.float32),
            "images: expected a uint8 array (N, H, W, C), got float32",
        ),
        ([[1, 2]], "images: expected a uint8 array (N, H, W, C), got list"),
        (
            np.zeros((1, 4, 5, 3), np.uint8),
            "images: expected shape (N, 5, 4, 3), got (1, 4, 5, 3); resize them first",
        ),
        (
            np.zeros((5, 4, 3), np.uint8),
            "images: expected shape (N, 5, 4, 3), got (5, 4, 3); resize them first",
        ),
    ],
)
def test_images_that_do_not_fit(images: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        IMAGENET(images)


@pytest.mark.parametrize(
    ("input_size", "mean", "std", "message"),
    [
        ((3, 4, 4), (0.5,), (0.5,), r"one mean and std for each of its 3 channels"),
        ((3, 4, 4), (0.5, 0.5, 0.5), (0.5,), r"one mean and std for each of its 3 channels"),
        ((1, 0, 4), (0.5,), (0.5,), r"expected an input size .* got \(1, 0, 4\)"),
        ((0, 4, 4), (), (), r"expected an input size .* got \(0, 4, 4\)"),
        ((1, 4, 4), (0.5,), (0.0,), r"expected std above 0, got \(0.0,\)"),
    ],
)
def test_preprocessing_that_cannot_be(
    input_size: tuple[int, int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing(input_size, mean, std)
