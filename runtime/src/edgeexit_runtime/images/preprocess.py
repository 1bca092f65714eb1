"""Images from a camera or decoder -> the network's input tensor."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.errors import InputError

MAX_RESIZE = 16_384


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Conversion of images to network inputs; stored in the checkpoint and in the bundle.

    Attributes:
        input_size: ``(channels, height, width)`` of the network's input.
        mean, std: one value per channel, for image values scaled to 0 to 1.
        resize: images are resized to cover a box of the input's aspect ratio, whose shorter side
            has this many pixels, and center-cropped to ``input_size``; None resizes them to
            ``input_size`` without a crop.
    """

    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = None

    def __post_init__(self) -> None:
        channels = self.input_size[0]
        if not (len(self.mean) == len(self.std) == channels) or min(self.input_size) < 1:
            raise ValueError(
                f"expected an input size and one mean and std for each of its {channels} "
                f"channels, got {self.input_size}, {len(self.mean)} and {len(self.std)}"
            )
        if self.resize is not None and not 1 <= self.resize <= MAX_RESIZE:
            raise ValueError(f"expected resize from 1 to {MAX_RESIZE} pixels, got {self.resize}")
        if min(self.std) <= 0:
            raise ValueError(f"expected std above 0, got {self.std}")

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) that an image of this size is resized to, before the crop."""
        _, rows, columns = self.input_size
        if self.resize is None:
            return columns, rows
        if width * rows >= height * columns:  # wider than the input: heights match
            matching = round(self.resize * rows / min(rows, columns))
            return max(1, matching * width // height), matching
        matching = round(self.resize * columns / min(rows, columns))
        return matching, max(1, matching * height // width)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Convert (N, H, W, C) uint8 images of the input size to (N, C, H, W) float32, normalized.

        Raises:
            InputError: another shape or dtype.
        """
        channels, height, width = self.input_size
        expected = (height, width, channels)
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
            got = getattr(images, "dtype", type(images).__name__)
            raise InputError(f"images: expected a uint8 array (N, H, W, C), got {got}")
        if images.ndim != 4 or images.shape[1:] != expected:
            sizes = ", ".join(str(size) for size in expected)
            raise InputError(
                f"images: expected shape (N, {sizes}), got {images.shape}; resize them first"
            )
        scale, offset = _scale_and_offset(self)
        result = np.empty((len(images), *self.input_size), np.float32)
        np.multiply(images.transpose(0, 3, 1, 2), scale, out=result)
        result -= offset
        return result


@functools.lru_cache(maxsize=8)
def _scale_and_offset(
    preprocessing: Preprocessing,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the factor for a uint8 value and the offset to subtract then, (C, 1, 1) each."""
    std = np.asarray(preprocessing.std, np.float32)
    scale = np.reciprocal(255 * std)[:, None, None]
    offset = (np.asarray(preprocessing.mean, np.float32) / std)[:, None, None]
    return scale, offset
