"""NumPy archives from outside: no array is believed to be as large as its header says."""

from __future__ import annotations

import math
import zipfile

import numpy as np
from edgeexit_runtime.preprocess import Preprocessing
from numpy.typing import NDArray

__all__ = ["check_member_size", "normalization_doubt"]

OVERSHOOT = 0.1  # of the range, which resampling may leave at edges


def check_member_size(archive: zipfile.ZipFile, member: str) -> None:
    """Compare an array's header with what the archive holds of it.

    Raises:
        ValueError: the header promises more.
    """
    with archive.open(member) as opened:
        version = np.lib.format.read_magic(opened)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(opened)
    if math.prod(shape) * dtype.itemsize > archive.getinfo(member).file_size:
        raise ValueError(f"{member} is shorter than its header says")


def normalization_doubt(images: NDArray[np.float32], preprocessing: Preprocessing) -> str | None:
    """Return what finite images (N, C, H, W) look like, if not normalized as the network's are."""
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


def _shown(channels: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in dict.fromkeys(channels))
