"""Image files from outside, read so that no file can fill the memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from edgeexit_runtime.preprocess import Preprocessing
from numpy.typing import NDArray

from edgeexit.errors import DataError, InputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "MAX_ASPECT",
    "SUFFIXES",
    "ImageError",
    "find_unreadable",
    "is_image",
    "read_image",
    "read_pixels",
]

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")
MODES = {1: "L", 3: "RGB"}

MAX_ASPECT = 64
"""Longer images are refused: where the shorter side is enlarged, the longer one grows with it."""


class ImageError(DataError):
    """A file is no image, is damaged, or so large or long that it may be meant to do harm.

    A loader's worker process hands an error on with its traceback written into the message; the
    constructor takes the message back out, so that it stays one line.
    """

    def __init__(self, message: str) -> None:
        last = message.rstrip().rpartition("\n")[2]
        super().__init__(last.removeprefix(f"{__name__}.{type(self).__name__}: "))


def read_image(path: str | Path, mode: str) -> Image.Image:
    """Return the image in a file in PIL's ``mode``, ``RGB`` or ``L``.

    Raises:
        ImageError: see there.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                _check_aspect(path, *opened.size)
                image: Image.Image = opened.convert(mode)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{path}: the image has more than {Image.MAX_IMAGE_PIXELS} pixels; make it smaller or "
            "take it away"
        ) from error
    except Exception as error:  # each of PIL's decoders fails in its own way
        raise ImageError(
            f"{path}: not a readable image ({type(error).__name__}); replace it or take it away"
        ) from error
    return image


def is_image(path: Path) -> bool:
    """Whether a path is a file that is named as images are, and not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def read_pixels(path: Path, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return the image in a file, resized and cropped: (H, W, C) uint8 of the input size.

    Raises:
        ImageError: see there.
        InputError: the network takes images of neither 1 nor 3 channels.
    """
    channels = preprocessing.input_size[0]
    if channels not in MODES:
        raise InputError(
            f"the bundle takes images of {channels} channels, files hold 1 or 3; give an npz file"
        )
    image = read_image(path, MODES[channels])
    pixels = np.asarray(_fit(image, preprocessing), np.uint8)
    return pixels[..., None] if channels == 1 else pixels


def find_unreadable(paths: Sequence[str]) -> list[bool]:
    """Decode every file once, on all cores; return which of them :func:`read_image` would refuse.

    JPEG files are decoded at an eighth of their size, which reads all of their bytes.
    """
    with ThreadPoolExecutor() as pool:  # decoders let other threads run
        return list(pool.map(_is_unreadable, paths))


def _fit(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Resize and crop as torchvision's Resize and CenterCrop do, which training uses."""
    from PIL import Image

    _, height, width = preprocessing.input_size
    shorter = preprocessing.resize
    if shorter is None:
        return image.resize((width, height), Image.Resampling.BILINEAR)
    scale_by = min(image.size)
    resized = tuple(int(shorter * side / scale_by) for side in image.size)
    image = image.resize((resized[0], resized[1]), Image.Resampling.BILINEAR)
    left, top = round((resized[0] - width) / 2), round((resized[1] - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _is_unreadable(path: str) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as opened:
            _check_aspect(path, *opened.size)
            if opened.size[0] * opened.size[1] > (Image.MAX_IMAGE_PIXELS or math.inf):
                return True
            opened.draft("RGB", (1, 1))
            opened.load()
    except Exception:  # each of PIL's decoders fails in its own way
        return True
    return False


def _check_aspect(path: str | Path, width: int, height: int) -> None:
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"{path}: {width}x{height} pixels are more than {MAX_ASPECT} times as long as wide; "
            "crop it or take it away"
        )
