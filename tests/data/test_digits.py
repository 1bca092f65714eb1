from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeexit.data import DataConfig, ImageData, load_data
from edgeexit.errors import DataError

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_data(DataConfig("digits"))


def test_splits_are_60_20_20_with_every_class_in_proportion(digits: ImageData) -> None:
    sizes = {name: len(split) for name, split in digits.splits.items()}
    assert sizes == {"train": 1078, "val": 360, "test": 359}
    assert len(digits.training) == 1078
    assert digits.class_names == tuple("0123456789")
    for split in digits.splits.values():
        share = np.bincount(split.labels) / len(split)  # type: ignore[attr-defined]
        assert share == pytest.approx(0.1, abs=0.01)


def test_no_image_is_in_two_splits(digits: ImageData) -> None:
    contents = {
        name: {split[i][0].numpy().tobytes() for i in range(len(split))}
        for name, split in digits.splits.items()
    }
    assert sum(len(images) for images in contents.values()) == 1797
    assert len(set().union(*contents.values())) == 1797


def test_evaluation_images_are_what_the_runtime_makes_of_them(digits: ImageData) -> None:
    split = digits.splits["test"]
    raw = split.images.permute(0, 2, 3, 1).numpy()  # type: ignore[attr-defined]
    assert raw.min() == 0
    assert raw.max() == 255
    expected = digits.preprocessing(raw)
    ours = torch.stack([split[i][0] for i in range(len(split))])
    assert ours.dtype == torch.float32
    assert np.abs(ours.numpy() - expected).max() < 1e-6


def test_images_are_the_small_ones_enlarged(digits: ImageData) -> None:
    from sklearn.datasets import load_digits

    # a bilinear enlargement by 4 keeps the mean of each 4x4 patch near the pixel
    image = digits.splits["test"].images[0, 0].double()  # type: ignore[attr-defined]
    small = torch.nn.functional.avg_pool2d(image[None, None], 4)[0, 0].numpy() * 16 / 255
    distances = np.abs(load_digits().images - small).mean(axis=(1, 2))
    assert distances.min() < 1.5
    assert np.sort(distances)[1] > distances.min()


def test_training_images_are_moved_by_at_most_two_pixels(digits: ImageData) -> None:
    plain = digits.splits["train"][0][0]
    background = plain.min()
    padded = torch.nn.functional.pad(plain, (2, 2, 2, 2), value=float(background))
    moved = {
        padded[:, y : y + 32, x : x + 32].numpy().tobytes() for y in range(5) for x in range(5)
    }
    torch.manual_seed(0)
    seen = {digits.training[0][0].numpy().tobytes() for _ in range(40)}
    assert len(seen) > 5
    assert seen <= moved


def test_another_input_size() -> None:
    data = load_data(DataConfig("digits", input_size=(3, 16, 24)))
    assert data.training[0][0].shape == (3, 16, 24)
    assert data.splits["val"][0][0].shape == data.preprocessing.input_size == (3, 16, 24)


def test_a_folder_is_refused() -> None:
    with pytest.raises(DataError, match="digits: the images come with scikit-learn; omit"):
        load_data(DataConfig("digits", data_dir="somewhere"))


def test_grey_digits_are_one_channel_of_the_coloured_ones(digits: ImageData) -> None:
    grey = load_data(DataConfig("digits", input_size=(1, 32, 32)))
    assert torch.equal(grey.splits["test"][3][0], digits.splits["test"][3][0][:1])
