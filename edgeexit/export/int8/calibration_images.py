"""The images that value ranges are measured on, from a folder or a NumPy file, checked.

Faulty images would spoil a bundle's answers without any error, so they are refused here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgeexit_runtime.images.decoding import MAX_PIXELS
from edgeexit_runtime.images.preprocess import Preprocessing
from numpy.typing import NDArray

from edgeexit.errors import DataError
from edgeexit.images.arrays import read_images
from edgeexit.images.files import find_images, read_pixels
from edgeexit.paths import is_file, is_folder

MAX_IMAGES = 1000
"""More are not read: the ranges no longer change, and the histograms are slow."""


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationImages:
    """Images (N, C, H, W) float32, normalized, and their source, for the record.

    ``notes`` are lines about the source, such as how many of its files were omitted.
    """

    source: str
    images: NDArray[np.float32]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        source, images = self.source, self.images
        if len(images) == 0:
            raise DataError(f"{source}: expected calibration images, got none; put some there")
        if not np.isfinite(images).all():
            raise DataError(f"{source}: expected finite values, got NaN or infinity")
        flat = images.reshape(len(images), images.shape[1], -1)  # (N, C, H * W)
        if not np.ptp(flat, axis=2).any():
            raise DataError(
                f"{source}: every image is of one color, which does not show the values to "
                "expect; take photographs of what the network will see"
            )
        if len(images) > 1 and not np.ptp(images, axis=0).any():
            raise DataError(
                f"{source}: its {len(images)} images are all the same; take different ones"
            )

    def distinct(self) -> CalibrationImages:
        """Return the images without duplicates; the first of equal images is kept."""
        first = {image.tobytes(): place for place, image in reversed([*enumerate(self.images)])}
        return CalibrationImages(self.source, self.images[sorted(first.values())])

    def split(self, seed: int, every: int) -> tuple[CalibrationImages, CalibrationImages]:
        """Return two sets: the images kept, and one in ``every`` held out, chosen at random."""
        order = np.random.default_rng(seed).permutation(len(self.images))
        held_out = np.sort(order[: len(order) // every])
        kept = np.sort(order[len(order) // every :])
        return (
            CalibrationImages(self.source, self.images[kept]),
            CalibrationImages(self.source, self.images[held_out]),
        )


def load_calibration_images(
    path: str | Path,
    preprocessing: Preprocessing,
    seed: int = 0,
    max_pixels: int = MAX_PIXELS,
    most: int = MAX_IMAGES,
) -> CalibrationImages:
    """Read up to ``most`` images, chosen at random where there are more.

    Args:
        path: a folder with images in it or in subfolders of any name; or a ``.npy`` file, or a
            ``.npz`` file with an array ``images``: uint8 (N, H, W, C) of the network's input size,
            or float32 (N, C, H, W) that is normalized already.
        preprocessing: the network's preprocessing.
        seed: seed of the random choice.
        max_pixels: image files with more pixels are refused.
        most: the maximum number of images.

    Raises:
        DataError: missing, empty, unreadable, of another shape, constant, not finite, or not
            normalized.
    """
    path = Path(path)

    def choose(count: int) -> list[int]:
        chosen: list[int] = np.random.default_rng(seed).permutation(count)[:most].tolist()
        return sorted(chosen)

    if is_folder(path):
        folder = find_images(path)
        files = [folder.paths[index] for index in choose(len(folder.paths))]
        pixels = np.stack([read_pixels(file, preprocessing, max_pixels) for file in files])
        return CalibrationImages(str(path), preprocessing(pixels), folder.notes)
    if not is_file(path):
        raise DataError(
            f"{path}: no such file or folder; expected a folder of images, a .npy or a .npz file"
        )
    found = read_images(path, preprocessing, choose)
    if found.doubt is not None:
        raise DataError(
            f"{path}: {found.doubt}; give uint8 (N, height, width, channels), or normalize them so"
        )
    return CalibrationImages(str(path), found.images)


def distinct_from(
    samples: NDArray[np.float32], calibration: CalibrationImages, preprocessing: Preprocessing
) -> NDArray[np.bool_]:
    """Return a mask (N,) of the samples, normalized, that are not among the calibration images.

    Images are equal if all of their 8-bit pixels are.
    """
    known = set(_digests(calibration.images, preprocessing))
    return np.array([key not in known for key in _digests(samples, preprocessing)], np.bool_)


def _digests(images: NDArray[np.float32], preprocessing: Preprocessing) -> Iterator[bytes]:
    std = np.asarray(preprocessing.std, np.float32)[:, None, None]
    mean = np.asarray(preprocessing.mean, np.float32)[:, None, None]
    for image in images:
        pixels = np.rint((image * std + mean) * 255).clip(0, 255).astype(np.uint8)
        yield hashlib.sha256(pixels.tobytes()).digest()
