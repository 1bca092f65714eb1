"""Calibration images: folders and NumPy files that are read, and those that are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgeexit_runtime import Preprocessing
from numpy.typing import NDArray
from PIL import Image

from edgeexit.errors import DataError
from edgeexit.export import CalibrationImages, load_calibration_images
from edgeexit.export.int8.calibration_images import distinct_from

SMALL = Preprocessing((3, 6, 4), (0.5,) * 3, (0.25,) * 3)


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (7, 6, 4, 3), np.uint8)


def test_arrays_and_folders_give_the_same(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    expected = (pixels.astype(np.float32) / 255 - 0.5).transpose(0, 3, 1, 2) / 0.25
    np.save(tmp_path / "a.npy", pixels)
    np.savez(tmp_path / "b.npz", images=pixels, labels=np.arange(7))
    np.save(tmp_path / "c.npy", SMALL(pixels))
    folder = tmp_path / "folder"
    for place, image in enumerate(pixels):
        file = folder / ("deep/er" if place > 3 else "") / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    (folder / "notes.txt").write_text("not an image")
    for path in (tmp_path / "a.npy", tmp_path / "b.npz", tmp_path / "c.npy", folder):
        loaded = load_calibration_images(path, SMALL)
        assert loaded.source == str(path)
        assert loaded.images.dtype == np.float32
        assert loaded.images.flags.c_contiguous
        np.testing.assert_allclose(loaded.images, expected, atol=1e-6)
        assert loaded.notes == ((f"{folder}: left out 1 .txt",) if path == folder else ())


def test_no_more_than_the_limit_are_read(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    path = tmp_path / "a.npy"
    np.save(path, pixels)
    chosen = [load_calibration_images(path, SMALL, seed, most=4).images for seed in (1, 1, 2)]
    assert [len(images) for images in chosen] == [4, 4, 4]
    assert np.array_equal(chosen[0], chosen[1])
    assert not np.array_equal(chosen[0], chosen[2])


def test_split_shares_no_image(pixels: NDArray[np.uint8]) -> None:
    images = CalibrationImages("x", SMALL(np.concatenate([pixels, pixels[2:4]]))).distinct()
    assert np.array_equal(images.images, SMALL(pixels))
    kept, held_out = images.split(0, 3)
    assert (len(kept.images), len(held_out.images)) == (5, 2)
    both = np.concatenate([kept.images, held_out.images])
    assert {image.tobytes() for image in both} == {image.tobytes() for image in images.images}


def test_same_pixels_are_known_however_they_were_normalized(pixels: NDArray[np.uint8]) -> None:
    calibration = CalibrationImages("x", SMALL(pixels[:3]))
    other = pixels[2:5].copy()
    other[1, 0, 0, 0] ^= 1  # one pixel by one step
    again = (other.astype(np.float64).transpose(0, 3, 1, 2) / 255 - 0.5) / 0.25
    assert distinct_from(again.astype(np.float32), calibration, SMALL).tolist() == [
        False,
        True,
        True,
    ]
    near = pixels[:1].copy()
    near[0, 0, 0, 0] ^= 1
    assert distinct_from(SMALL(near), calibration, SMALL).tolist() == [True]


Write = Callable[[Path], Any]

WRONG: dict[str, tuple[str, Write | None, str]] = {
    "missing": ("none", None, "no such file or folder; expected a folder of images, a .npy or"),
    "empty folder": ("none", Path.mkdir, "expected images in it or in folders below, got none"),
    "rank": (
        "x.npy",
        lambda p: np.save(p, np.zeros((5, 6, 4), np.uint8)),
        "expected uint8 (N, height, width, channels) or float32 (N, channels, height, width), got "
        "uint8 (5, 6, 4)",
    ),
    "dtype": (
        "x.npy",
        lambda p: np.save(p, np.zeros((5, 3, 6, 4))),
        "got float64 (5, 3, 6, 4)",
    ),
    "size": (
        "x.npy",
        lambda p: np.save(p, np.zeros((5, 6, 5, 3), np.uint8)),
        "the network takes uint8 images (N, 6, 4, 3), got (5, 6, 5, 3); resize them first",
    ),
    "order": (
        "x.npy",
        lambda p: np.save(p, np.zeros((5, 6, 4, 3), np.float32)),
        "the network takes float32 images (N, 3, 6, 4), got (5, 6, 4, 3)",
    ),
    "none in it": (
        "x.npy",
        lambda p: np.save(p, np.zeros((0, 6, 4, 3), np.uint8)),
        "expected calibration images, got none; put some there",
    ),
    "not finite": (
        "x.npy",
        lambda p: np.save(p, np.full((2, 3, 6, 4), np.nan, np.float32)),
        "expected finite values, got NaN or infinity",
    ),
    "not divided": (
        "x.npy",
        lambda p: np.save(p, np.linspace(0, 255, 144, dtype=np.float32).reshape(2, 3, 6, 4)),
        "values from 0 to 255 look 0 to 255, neither divided by 255 nor normalized: mean 0.5 and "
        "std 0.25 give -2 to 2; give uint8 (N, height, width, channels)",
    ),
    "not normalized": (
        "x.npy",
        lambda p: np.save(p, np.linspace(0, 1, 144, dtype=np.float32).reshape(2, 3, 6, 4)),
        "look 0 to 1, divided by 255 and not normalized: mean 0.5 and std 0.25 give -2 to 2",
    ),
    "one color": (
        "x.npy",
        lambda p: np.save(p, np.full((5, 6, 4, 3), 9, np.uint8)),
        "every image is of one color",
    ),
    "all the same": (
        "x.npy",
        lambda p: np.save(
            p, np.tile(np.arange(72, dtype=np.uint8).reshape(1, 6, 4, 3), (5, 1, 1, 1))
        ),
        "its 5 images are all the same; take different ones",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(case: str, tmp_path: Path) -> None:
    name, write, message = WRONG[case]
    path = tmp_path / name
    if write is not None:
        write(path)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*{re.escape(message)}"):
        load_calibration_images(path, SMALL)
