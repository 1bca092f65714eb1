"""Files and frames of any size; that they are resized as in training is tested beside it."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.images.fitting import fit, open_image

Image = pytest.importorskip("PIL.Image")

HALVES = np.zeros((8, 8, 3), np.uint8)
HALVES[:, 4:] = 255, 0, 0  # red on the right


@pytest.fixture
def session(bundle: Path) -> Iterator[ee.Session]:
    with ee.load(bundle, threads=1) as session:
        yield session


def test_images_of_every_kind_are_prepared_alike(session: ee.Session, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(HALVES).save(path)
    sources = [path, str(path), io.BytesIO(path.read_bytes()), HALVES, Image.fromarray(HALVES)]
    images = session.prepare(sources)
    assert images.shape == (5, 3, 4, 4)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, np.repeat(images[:1], 5, axis=0))
    np.testing.assert_allclose(images[0, :, 0, 0], (0 - np.array([0.5, 0.4, 0.3])) / [0.25, 0.5, 1])
    np.testing.assert_allclose(images[0, :, 0, 3], [2, -0.8, -0.3], rtol=1e-6)
    assert session.infer(images).labels.shape == (5,)


def test_no_images_are_an_empty_batch(session: ee.Session) -> None:
    assert session.prepare([]).shape == (0, 3, 4, 4)


def test_grey_pixels_become_coloured_and_the_other_way() -> None:
    grey = ee.Preprocessing((1, 2, 2), (0.5,), (0.5,))
    colour = ee.Preprocessing((3, 2, 2), (0.5,) * 3, (0.5,) * 3)
    pixels = np.array([[0, 50], [100, 250]], np.uint8)
    for given in (pixels, pixels[..., None]):
        np.testing.assert_array_equal(fit(given, grey), pixels[..., None])
        np.testing.assert_array_equal(fit(given, colour), np.repeat(pixels[..., None], 3, axis=2))
    red = np.array(Image.fromarray(HALVES).convert("L").resize((2, 2), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(fit(HALVES, grey)[..., 0], red)


def test_any_number_of_channels_goes_where_the_size_fits() -> None:
    two = ee.Preprocessing((2, 2, 2), (0.5,) * 2, (0.5,) * 2)
    pixels = np.zeros((2, 2, 2), np.uint8)
    assert fit(pixels, two) is pixels
    with pytest.raises(ee.InputError, match="takes 2 channels, images have 1 or 3; give arrays"):
        fit(HALVES, two)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((8, 8, 3)), "images: expected pixels of uint8, got float64"),
        (np.zeros((1, 8, 8, 3), np.uint8), "one image, (H, W) or (H, W, C), got (1, 8, 8, 3)"),
        (np.zeros((0, 8, 3), np.uint8), "one image, (H, W) or (H, W, C), got (0, 8, 3)"),
        (np.zeros((8, 8, 4), np.uint8), "images: expected 1 or 3 channels, got 4"),
    ],
)
def test_pixels_that_do_not_fit(session: ee.Session, pixels: Any, message: str) -> None:
    with pytest.raises(ee.InputError, match=re.escape(message)):
        session.prepare([pixels])


def test_a_file_that_is_no_image(session: ee.Session, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"no image")
    with pytest.raises(ee.ImageError, match=r"image\.png: not a readable image \(Unidentified"):
        session.prepare([path])
    with pytest.raises(ee.ImageError, match=r"^the image: not a readable image"):
        session.prepare([io.BytesIO(b"no image")])
    with pytest.raises(ee.ImageError, match=r"none\.png: not a readable image \(FileNotFound"):
        open_image(tmp_path / "none.png", "RGB")


def test_without_pillow_pixels_of_the_right_size_go_and_others_name_it(bundle: Path) -> None:
    code = """
import sys
sys.modules["PIL"] = None
import numpy as np
import edgeexit_runtime as ee
with ee.load(sys.argv[1], threads=1) as session:
    print(session.prepare([np.zeros((4, 4, 3), np.uint8)]).shape)
    for image in (np.zeros((5, 5, 3), np.uint8), "image.png"):
        try:
            session.prepare([image])
        except ee.BackendError as error:
            print(error)
"""
    printed = subprocess.run(
        [sys.executable, "-c", code, str(bundle)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.splitlines()
    message = "Pillow is not installed: pip install 'edgeexit-runtime[images]'"
    assert printed == ["(1, 3, 4, 4)", message, message]
