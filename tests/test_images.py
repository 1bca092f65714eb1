"""Image files that are meant to do harm, or damaged."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from PIL import Image

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
