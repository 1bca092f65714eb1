"""Read untrusted image files; no file can exhaust the memory."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from edgeexit_runtime import errors
from edgeexit_runtime.images import folder as image_files
from edgeexit_runtime.images.decoding import MAX_PIXELS, open_header, open_image
from edgeexit_runtime.images.fitting import MODES, fit
from edgeexit_runtime.images.folder import IMAGE_SUFFIXES, FoundImages, describe_left_out
from edgeexit_runtime.images.preprocess import Preprocessing
from numpy.typing import NDArray

from edgeexit.errors import DataError, InputError

if TYPE_CHECKING:
    from PIL import Image


class ImageError(DataError, errors.ImageError):
    """A file is not an image, is damaged, or is so large or long that it may be malicious.

    A data loader's worker process passes an error on with its traceback in the message. The
    constructor extracts the message from it, so that it stays one line.
    """

    def __init__(self, message: str) -> None:
        last = message.rstrip().rpartition("\n")[2]
        super().__init__(last.removeprefix(f"{__name__}.{type(self).__name__}: "))


def find_images(folder: Path) -> FoundImages:
    """Return the images in and below a folder, at least one.

    Raises:
        DataError: there are none.
        InputError: a folder cannot be listed.
    """
    found = image_files.find_images(folder)
    if not found.paths:
        raise DataError(
            f"{folder}: expected images in it or in folders below, got "
            f"{describe_left_out(found.left_out) or 'none'}; their names end in "
            f"{', '.join(IMAGE_SUFFIXES)}"
        )
    return found


def read_image(path: str | Path, mode: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the image in a file in PIL's ``mode``, ``RGB`` or ``L``.

    Raises:
        ImageError: the file is not an image, is damaged, or is too large.
    """
    try:
        return open_image(path, mode, max_pixels)
    except errors.ImageError as error:
        raise ImageError(str(error)) from error


def read_pixels(
    path: str | Path, preprocessing: Preprocessing, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Return the image in a file, resized and cropped: (H, W, C) uint8 of the input size.

    Raises:
        ImageError: the file is not an image, is damaged, or is too large.
        InputError: the network's images have neither 1 nor 3 channels.
    """
    channels = preprocessing.input_size[0]
    if channels not in MODES:
        raise InputError(
            f"the bundle takes images of {channels} channels, files hold 1 or 3; give an npz file"
        )
    try:
        return fit(path, preprocessing, max_pixels)
    except errors.ImageError as error:
        raise ImageError(str(error)) from error


def find_unreadable(paths: Sequence[str], max_pixels: int = MAX_PIXELS) -> list[bool]:
    """Decode every file once, on all cores; return which ones :func:`read_image` would reject.

    JPEG files are decoded at an eighth of their size, which still reads all of their bytes.
    """
    with ThreadPoolExecutor() as pool:  # decoders release the GIL
        return list(pool.map(partial(_is_unreadable, max_pixels=max_pixels), paths))


def _is_unreadable(path: str, max_pixels: int) -> bool:
    try:
        with open_header(path, max_pixels) as opened:
            opened.draft("RGB", (1, 1))
            opened.load()
    except errors.ImageError:
        return True
    return False
