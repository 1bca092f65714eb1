"""Image files that are meant to do harm, or damaged."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from edgeexit_runtime import InputError, Preprocessing
from edgeexit_runtime.images import fit
from PIL import Image
from torchvision.transforms import v2

from edgeexit.errors import DataError
from edgeexit.images import ImageError, read_image


def test_image_comes_in_the_mode_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.new("RGBA", (5, 3), "red").save(path)
    assert read_image(path, "RGB").getpixel((0, 0)) == (255, 0, 0)
    assert read_image(path, "L").mode == "L"


def test_damaged(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ImageError, match=r"image\.png: not a readable image"):
        read_image(path, "RGB")


def test_more_pixels_than_memory_is_meant_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.png"
    Image.new("L", (20, 20)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="more than 100 pixels; make it smaller"):
        read_image(path, "RGB")


def test_a_thin_image_that_would_grow(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.new("L", (2, 200)).save(path)
    with pytest.raises(ImageError, match="2x200 pixels are more than 64 times as long as wide"):
        read_image(path, "RGB")


def test_message_survives_a_loaders_process() -> None:
    error = pickle.loads(pickle.dumps(ImageError("one line")))
    assert str(error) == "one line"
    wrapped = ImageError("Caught ImageError\nTraceback\nedgeexit.images.ImageError: one line\n")
    assert str(wrapped) == "one line"


def test_the_error_is_one_of_a_data_set_and_of_the_runtime() -> None:
    assert isinstance(ImageError("no"), DataError)
    assert isinstance(ImageError("no"), InputError)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("resize", [None, 5, 8, 12, 13, 33])
def test_resize_and_crop_are_torchvisions(mode: str, resize: int | None) -> None:
    """Of any size, also where the crop is larger than the image and where nothing is to do."""
    rng = np.random.default_rng(0)
    size = (12, 17)
    steps = [v2.Resize(size)] if resize is None else [v2.Resize(resize), v2.CenterCrop(size)]
    expected = v2.Compose(steps)
    channels = {"L": 1, "RGB": 3}[mode]
    preprocessing = Preprocessing((channels, *size), (0.5,) * channels, (0.5,) * channels, resize)
    sizes = [size, (17, 12), (12, 12), (1, 1), (100, 3), *rng.integers(1, 60, (40, 2)).tolist()]
    for height, width in sizes:
        pixels = rng.integers(0, 256, (height, width, channels), np.uint8)
        image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
        want = np.asarray(expected(image)).reshape(*size, channels)
        np.testing.assert_array_equal(fit(image, preprocessing), want)
        np.testing.assert_array_equal(fit(pixels, preprocessing), want)
