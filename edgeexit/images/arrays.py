"""Read arrays from untrusted NumPy files: sizes are checked before memory is allocated."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from edgeexit_runtime.images.preprocess import Preprocessing
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgeexit.errors import DataError

OVERSHOOT = 0.1  # share of the range by which resampling may exceed it at edges

FORMATS = "uint8 (N, height, width, channels) or float32 (N, channels, height, width)"

PACKED_MAX_BYTES = 2**32
"""Largest size of one compressed array: a few bytes in the file could expand to any size."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayImages:
    """Images of a NumPy file.

    Attributes:
        images: (N, C, H, W) float32, normalized, C-contiguous; N may be 0.
        labels: (N,) int64; None if the file has none, or they were not requested.
        doubt: why the images may not be normalized as the network expects; None if they seem to be.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    doubt: str | None


def read_images(
    file: Path,
    preprocessing: Preprocessing,
    choose: Callable[[int], Sequence[int]],
    num_classes: int = 0,
) -> ArrayImages:
    """Read some images of a ``.npy`` file, or of ``images`` in a ``.npz`` file, for a network.

    Args:
        file: uint8 (N, H, W, C) of the network's input size, or normalized float32 (N, C, H, W);
            in a ``.npz`` file also ``labels`` (N,), integers.
        preprocessing: the network's preprocessing.
        choose: maps the number of images to the indices of those to read.
        num_classes: upper bound of the labels; 0 reads no labels.

    Raises:
        DataError: the file is damaged, or holds arrays of another shape, dtype or range.
    """
    asked = ("images", "labels") if num_classes else ("images",)
    advice = f"expected {FORMATS} written by numpy.save, or numpy.savez(file, images=images)"
    arrays = read_arrays(file, asked, advice)
    images, labels = arrays["images"], arrays.get("labels")
    if images.ndim != 4 or images.dtype not in (np.uint8, np.float32):
        raise DataError(f"{file}: images: expected {FORMATS}, got {images.dtype} {images.shape}")
    channels, height, width = preprocessing.input_size
    is_bytes = images.dtype == np.uint8
    expected = (height, width, channels) if is_bytes else preprocessing.input_size
    if images.shape[1:] != expected:
        raise DataError(
            f"{file}: images: the network takes {images.dtype} images (N, "
            f"{', '.join(map(str, expected))}), got {images.shape}; resize them first"
        )
    if labels is not None:
        _check_labels(file, labels, len(images), num_classes)
    chosen = list(choose(len(images)))
    images, doubt = images[chosen], None
    if is_bytes:
        images = preprocessing(images)
    elif not np.isfinite(images).all():
        raise DataError(
            f"{file}: images: expected finite values, got NaN or infinity; check how they were made"
        )
    elif len(images):
        doubt = normalization_doubt(images, preprocessing)
    taken = None if labels is None else labels[chosen].astype(np.int64)
    return ArrayImages(np.ascontiguousarray(images), taken, doubt)


def _check_labels(file: Path, labels: NDArray[Any], count: int, classes: int) -> None:
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{file}: labels: expected integers ({count},), got {labels.dtype} {labels.shape}"
        )
    if count and (labels.min() < 0 or labels.max() >= classes):
        raise DataError(
            f"{file}: labels: expected 0 to {classes - 1}, got {labels.min()} to {labels.max()}"
        )


def read_arrays(
    file: Path, names: Sequence[str], advice: str, packed_max_bytes: int = PACKED_MAX_BYTES
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a ``.npz`` file by name; that of a ``.npy`` file gets the first name.

    Args:
        file: the file; pickled objects are not read.
        names: the first is required, the others are optional.
        advice: advice for errors.
        packed_max_bytes: largest size of a compressed array.

    Raises:
        DataError: the file is of another format, is damaged, or lacks the first array.
    """
    try:
        with file.open("rb") as opened:
            if not zipfile.is_zipfile(opened):
                opened.seek(0)
                return {names[0]: _read(opened, file.stat().st_size)}
            with zipfile.ZipFile(opened) as archive:
                there = {name.removesuffix(".npy"): name for name in archive.namelist()}
                if names[0] not in there:
                    raise DataError(
                        f"{file}: expected an array {names[0]!r}, got {', '.join(there) or 'none'}"
                    )
                return {
                    name: _unpack(archive, there[name], packed_max_bytes)
                    for name in names
                    if name in there
                }
    except DataError:
        raise
    except Exception as error:  # damaged files raise many types
        raise DataError(f"{file}: not a NumPy file of plain arrays; {advice}") from error


def normalization_doubt(images: NDArray[np.float32], preprocessing: Preprocessing) -> str | None:
    """Return how finite images (N, C, H, W) seem to be scaled, if not as the network expects."""
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    low, high = float(((0 - mean) / std).min()), float(((1 - mean) / std).max())
    least, most = float(images.min()), float(images.max())
    room = OVERSHOOT * (high - low)
    is_fraction = least >= 0 and most <= 1
    if low - room <= least and most <= high + room and not (is_fraction and low < -room):
        return None
    if is_fraction:
        likely = "0 to 1, divided by 255 and not normalized"
    elif least >= 0 and most <= 255:
        likely = "0 to 255, neither divided by 255 nor normalized"
    else:
        likely = "normalized otherwise"
    return (
        f"values from {least:.3g} to {most:.3g} look {likely}: mean {_shown(preprocessing.mean)} "
        f"and std {_shown(preprocessing.std)} give {low:.3g} to {high:.3g}"
    )


def _unpack(archive: zipfile.ZipFile, member: str, max_bytes: int) -> NDArray[Any]:
    info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED and info.file_size > max_bytes:
        raise ValueError(f"{member}: {info.file_size} bytes, expected at most {max_bytes}")
    with archive.open(info) as stream:
        return _read(stream, info.file_size)


def _read(stream: IO[bytes], size_bytes: int) -> NDArray[Any]:
    """Return the array in a stream of ``size_bytes``.

    Raises:
        ValueError: the size in its header differs.
    """
    first = npy.read_magic(stream) == (1, 0)
    read_header = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if math.prod(shape) * dtype.itemsize != size_bytes - stream.tell():
        raise ValueError(f"{dtype} {shape} in {size_bytes} bytes")
    stream.seek(0)
    array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
    return array


def _shown(channels: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in dict.fromkeys(channels))
