"""Images of any kind and size -> pixels of the network's size.

They are resized and cropped like torchvision's Resize and CenterCrop; training uses this module
too. :mod:`edgeexit_runtime.images.decoding` reads the files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.errors import ImageError, InputError
from edgeexit_runtime.images.decoding import MAX_PIXELS, image_name, load_pillow, open_image
from edgeexit_runtime.images.preprocess import Preprocessing

if TYPE_CHECKING:
    from PIL import Image

    from edgeexit_runtime.images.decoding import ImageFileSource

MODES = {1: "L", 3: "RGB"}

ImageSource: TypeAlias = "ImageFileSource | NDArray[np.uint8]"
"""A path, an open file, a Pillow image, or uint8 pixels (H, W) or (H, W, C) in RGB order."""


def prepare(
    images: Iterable[ImageSource], preprocessing: Preprocessing, max_pixels: int = MAX_PIXELS
) -> NDArray[np.float32]:
    """Convert images of any size to the network's input: (N, C, H, W) float32, normalized.

    Args:
        images: files, Pillow images or pixels, see :data:`ImageSource`.
        preprocessing: the network's preprocessing.
        max_pixels: larger files are refused before they are decoded.

    Raises:
        ImageError: a file is not an image, is damaged, has pixels of unknown range, or is so large
            or long that it may do harm.
        InputError: pixels of another dtype or shape.
        BackendError: Pillow is needed and not installed.
    """
    pixels = [fit(image, preprocessing, max_pixels) for image in images]
    channels, height, width = preprocessing.input_size
    empty = np.empty((0, height, width, channels), np.uint8)
    return preprocessing(np.stack(pixels) if pixels else empty)


def fit(
    image: ImageSource, preprocessing: Preprocessing, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Return one image as (H, W, C) uint8 of the network's size, resized and cropped.

    Pixels that already have that size need no Pillow. Otherwise as :func:`prepare`.
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
    if isinstance(image, np.ndarray):
        opened = _from_pixels(image, MODES[channels])
    else:
        opened = open_image(image, MODES[channels], max_pixels)
    pixels = np.asarray(_resize(opened, preprocessing, image_name(image)), np.uint8)
    return pixels[..., None] if channels == 1 else pixels


def _from_pixels(pixels: NDArray[np.uint8], mode: str) -> Image.Image:
    if pixels.shape[2:] not in ((), (1,), (3,)):
        raise InputError(f"images: expected 1 or 3 channels, got {pixels.shape[2]}")
    image: Image.Image = load_pillow().fromarray(
        pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    )
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def _resize(image: Image.Image, preprocessing: Preprocessing, name: str) -> Image.Image:
    width, height = preprocessing.resized(*image.size)
    if width * height > MAX_PIXELS:  # possible for a long image or an untrusted bundle
        raise ImageError(
            f"{name}: for this network its {image.width}x{image.height} pixels would become "
            f"{width}x{height}, more than {MAX_PIXELS:,} in all; crop it"
        )
    image = image.resize((width, height), load_pillow().Resampling.BILINEAR)
    if preprocessing.resize is None:
        return image
    _, rows, columns = preprocessing.input_size
    left, top = _crop_start(width, columns), _crop_start(height, rows)
    return image.crop((left, top, left + columns, top + rows))  # black outside the image


def _crop_start(size: int, wanted: int) -> int:
    """Return where a center crop starts; below 0 if the image is smaller than the crop."""
    return round((size - wanted) / 2) if size >= wanted else -((wanted - size) // 2)


def _check_pixels(pixels: NDArray[Any]) -> None:
    if pixels.dtype != np.uint8:
        raise InputError(f"images: expected pixels of uint8, got {pixels.dtype}")
    if pixels.ndim not in (2, 3) or pixels.size == 0:
        raise InputError(f"images: expected one image, (H, W) or (H, W, C), got {pixels.shape}")
