"""Image files and frames of any size -> pixels of the network's size, by Pillow.

They are resized and cropped as torchvision's Resize and CenterCrop do it, which training uses.
Pillow is imported here alone, and only where it is needed. Files come from outside: none of them
can fill the memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.errors import BackendError, ImageError, InputError
from edgeexit_runtime.preprocess import Preprocessing

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "MAX_ASPECT",
    "MODES",
    "ImageSource",
    "check_aspect",
    "fit",
    "open_image",
    "prepare",
]

MAX_ASPECT = 64
"""Longer images are refused: where the shorter side is enlarged, the longer one grows with it."""
MODES = {1: "L", 3: "RGB"}
INSTALL = "pip install 'edgeexit-runtime[images]'"

ImageSource: TypeAlias = "str | Path | BinaryIO | NDArray[np.uint8] | Image.Image"
"""A path, an open file, uint8 pixels (H, W) or (H, W, C) with colours as RGB, or Pillow's own."""


def prepare(images: Iterable[ImageSource], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return images of any size as the network takes them: (N, C, H, W) float32, normalized.

    Raises:
        ImageError: a file is no image, damaged, or so large or long that it may do harm.
        InputError: pixels of another dtype or shape.
        BackendError: Pillow is not installed, and is needed.
    """
    pixels = [fit(image, preprocessing) for image in images]
    channels, height, width = preprocessing.input_size
    empty = np.empty((0, height, width, channels), np.uint8)
    return preprocessing(np.stack(pixels) if pixels else empty)


def fit(image: ImageSource, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return one image as (H, W, C) uint8 of the network's size, resized and cropped.

    Pixels that have the size already need no Pillow. Else as :func:`prepare`.
    """
    channels, height, width = preprocessing.input_size
    if isinstance(image, np.ndarray):
        _check_pixels(image)
        if preprocessing.resize is None and image.shape == (height, width, channels):
            return image
    if channels not in MODES:
        raise InputError(
            f"images: the bundle takes {channels} channels, images have 1 or 3; give arrays of "
            f"{height}x{width} pixels and {channels} channels"
        )
    pillow = _pillow()
    if isinstance(image, np.ndarray):
        if image.shape[2:] not in ((), (1,), (3,)):
            raise InputError(f"images: expected 1 or 3 channels, got {image.shape[2]}")
        opened = pillow.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    elif isinstance(image, pillow.Image):
        opened = image
    else:
        opened = open_image(cast("str | Path | BinaryIO", image), MODES[channels])
    pixels = np.asarray(_resize(opened.convert(MODES[channels]), preprocessing), np.uint8)
    return pixels[..., None] if channels == 1 else pixels


def open_image(source: str | Path | BinaryIO, mode: str) -> Image.Image:
    """Return the image in a file in Pillow's ``mode``, ``RGB`` or ``L``.

    Raises:
        ImageError: it is no image, damaged, or so large or long that it may do harm.
        BackendError: Pillow is not installed.
    """
    pillow = _pillow()
    name = source if isinstance(source, (str, Path)) else "the image"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            with pillow.open(source) as opened:
                check_aspect(name, *opened.size)
                image: Image.Image = opened.convert(mode)
    except ImageError:
        raise
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name}: the image has more than {pillow.MAX_IMAGE_PIXELS} pixels; make it smaller "
            "or take it away"
        ) from error
    except Exception as error:  # each of Pillow's decoders fails in its own way
        raise ImageError(
            f"{name}: not a readable image ({type(error).__name__}); replace it or take it away"
        ) from error
    return image


def check_aspect(name: str | Path, width: int, height: int) -> None:
    """Refuse images that are much longer than wide.

    Raises:
        ImageError: see :data:`MAX_ASPECT`.
    """
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"{name}: {width}x{height} pixels are more than {MAX_ASPECT} times as long as wide; "
            "crop it or take it away"
        )


def _resize(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    bilinear = _pillow().Resampling.BILINEAR
    _, height, width = preprocessing.input_size
    shorter = preprocessing.resize
    if shorter is None:
        return image.resize((width, height), bilinear)
    scale_by = min(image.size)
    resized = tuple(int(shorter * side / scale_by) for side in image.size)
    image = image.resize((resized[0], resized[1]), bilinear)
    left, top = _crop_start(resized[0], width), _crop_start(resized[1], height)
    return image.crop((left, top, left + width, top + height))  # black where there is nothing


def _crop_start(size: int, wanted: int) -> int:
    """Return where a central crop starts; below 0 where the image is smaller than the crop."""
    return round((size - wanted) / 2) if size >= wanted else -((wanted - size) // 2)


def _check_pixels(pixels: NDArray[Any]) -> None:
    if pixels.dtype != np.uint8:
        raise InputError(f"images: expected pixels of uint8, got {pixels.dtype}")
    if pixels.ndim not in (2, 3) or pixels.size == 0:
        raise InputError(f"images: expected one image, (H, W) or (H, W, C), got {pixels.shape}")


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise BackendError(f"Pillow is not installed: {INSTALL}") from error
    return Image
