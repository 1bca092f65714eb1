"""Image files that are meant to do harm, or damaged."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from edgeexit_runtime import InputError, Preprocessing
from edgeexit_runtime.images.fitting import fit, prepare
from PIL import Image
from torchvision.transforms import v2

from edgeexit.data import DataConfig, load_data
from edgeexit.data.augmentation import RESIZE_RATIO
from edgeexit.data.imagefolder import ImageFiles
from edgeexit.errors import DataError
from edgeexit.export import load_calibration_images
from edgeexit.images.files import ImageError, find_unreadable, read_image, read_pixels


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


def test_the_limit_of_pixels_is_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.new("L", (20, 20)).save(path)
    size = Preprocessing((1, 4, 4), (0.5,), (0.5,))
    assert read_image(path, "RGB", max_pixels=400).size == (20, 20)
    assert read_pixels(path, size, max_pixels=400).shape == (4, 4, 1)
    assert find_unreadable([str(path)], max_pixels=400) == [False]
    message = r"image\.png: 20x20 are 400 pixels, more than 399; make"
    with pytest.raises(ImageError, match=message):
        read_image(path, "RGB", max_pixels=399)
    with pytest.raises(ImageError, match=message):
        read_pixels(path, size, max_pixels=399)
    assert find_unreadable([str(path)], max_pixels=399) == [True]


def test_what_is_refused_is_found_unreadable_before(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("long.png", "float.tif", "deep.tif", "good.png")]
    for path, image in zip(
        paths,
        (Image.new("L", (2, 200)), *(Image.new(mode, (8, 8)) for mode in ("F", "I", "I;16"))),
        strict=True,
    ):
        image.save(path)
    assert find_unreadable(paths) == [True, True, True, False]


def test_message_survives_a_loaders_process() -> None:
    error = pickle.loads(pickle.dumps(ImageError("one line")))
    assert str(error) == "one line"
    wrapped = ImageError(
        "Caught ImageError\nTraceback\nedgeexit.images.files.ImageError: one line\n"
    )
    assert str(wrapped) == "one line"


def test_the_error_is_one_of_a_data_set_and_of_the_runtime() -> None:
    assert isinstance(ImageError("no"), DataError)
    assert isinstance(ImageError("no"), InputError)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("resize", [None, 5, 8, 14, 16, 33])
def test_resize_and_crop_are_torchvisions_for_square_networks(
    mode: str, resize: int | None
) -> None:
    """Also where the crop is larger than the image and where nothing is to do."""
    rng = np.random.default_rng(0)
    size = (14, 14)
    steps = [v2.Resize(size)] if resize is None else [v2.Resize(resize), v2.CenterCrop(size)]
    expected = v2.Compose(steps)
    channels = {"L": 1, "RGB": 3}[mode]
    preprocessing = Preprocessing((channels, *size), (0.5,) * channels, (0.5,) * channels, resize)
    sizes = [size, (17, 12), (12, 17), (1, 1), (100, 3), *rng.integers(1, 60, (40, 2)).tolist()]
    for height, width in sizes:
        pixels = rng.integers(0, 256, (height, width, channels), np.uint8)
        image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
        want = np.asarray(expected(image)).reshape(*size, channels)
        np.testing.assert_array_equal(fit(image, preprocessing), want)
        np.testing.assert_array_equal(fit(pixels, preprocessing), want)


@pytest.mark.parametrize("picture", [(1280, 720), (720, 1280), (500, 500), (640, 100)])
@pytest.mark.parametrize("network", [(3, 36, 64), (3, 20, 100), (3, 64, 36), (3, 28, 28)])
def test_seven_eighths_of_the_side_that_matches_are_seen(
    network: tuple[int, int, int], picture: tuple[int, int]
) -> None:
    """By pictures whose colours say where a pixel lay."""
    width, height = picture
    _, rows, columns = network
    resize = round(min(rows, columns) * RESIZE_RATIO)
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.rint((np.arange(width) + 0.5) / width * 255)
    image[..., 1] = np.rint((np.arange(height) + 0.5) / height * 255)[:, None]
    seen = fit(image, Preprocessing(network, (0.5,) * 3, (0.5,) * 3, resize)) / 255  # (H, W, C)
    assert seen.shape == (rows, columns, 3)
    across, down = seen[0, :, 0], seen[:, 0, 1]
    share_across, share_down = across[-1] - across[0], down[-1] - down[0]  # but for one pixel
    if width * rows >= height * columns:
        of_height = rows / (rows - 1) * share_down
        assert of_height == pytest.approx(min(rows, columns) / resize, abs=0.02)
        assert share_across * width / columns == pytest.approx(share_down * height / rows, rel=0.1)
    else:
        of_width = columns / (columns - 1) * share_across
        assert of_width == pytest.approx(min(rows, columns) / resize, abs=0.02)
        assert share_down * height / rows == pytest.approx(share_across * width / columns, rel=0.1)
    for seen_on in (across, down):
        assert seen_on[0] + seen_on[-1] == pytest.approx(
            1, abs=0.05
        )  # the middle, but for half a pixel


def pictures(folder: Path) -> None:
    """Write pictures that are easily read in different ways, 40 x 30 pixels."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(str(folder)))
    color = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    color.save(folder / "turned.jpg", exif=turned)
    color.convert("CMYK").save(folder / "print.tif")
    color.convert("P").save(folder / "palette.gif")
    color.convert("RGBA").rotate(30).save(folder / "transparent.png")
    color.convert("LA").rotate(60).save(folder / "grey.webp", lossless=True)
    for suffix in ("png", "tif", "pgm"):
        deep = Image.fromarray(rng.integers(0, 65536, (30, 40), np.uint16))
        deep.save(folder / f"deep.{suffix}")


@pytest.mark.parametrize("network", [(3, 28, 28), (1, 18, 32)])
def test_training_calibration_benchmark_and_device_see_the_same_pixels(
    tmp_path: Path, network: tuple[int, int, int]
) -> None:
    for name in ("train/a", "train/b", "val/a", "val/b", "test/a", "test/b"):
        pictures(tmp_path / name)
    config = DataConfig("imagefolder", str(tmp_path), network, augmentation="none")
    data = load_data(config)
    preprocessing = data.preprocessing
    for split in (*data.splits.values(), data.training):
        assert isinstance(split, ImageFiles)
        assert len(split) >= 14
        for index, path in enumerate(split.files.paths):
            [on_device] = prepare([path], preprocessing)
            np.testing.assert_allclose(split[index][0].numpy(), on_device, atol=1e-6)
            with Image.open(path) as image:
                np.testing.assert_array_equal(prepare([image], preprocessing)[0], on_device)
    folder = tmp_path / "test" / "a"
    expected = prepare(sorted(folder.iterdir()), preprocessing)
    calibration = load_calibration_images(folder, preprocessing)
    np.testing.assert_array_equal(calibration.images, expected)
    pixels = np.stack([read_pixels(path, preprocessing) for path in sorted(folder.iterdir())])
    np.testing.assert_array_equal(preprocessing(pixels), expected)
