"""NumPy archives from outside: no array is believed to be as large as its header says."""

from __future__ import annotations

import math
import zipfile

import numpy as np

__all__ = ["check_member_size"]


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
