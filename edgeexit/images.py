"""Image files from outside, read so that no file can fill the memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexit.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_ASPECT", "ImageError", "find_unreadable", "read_image"]

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


def find_unreadable(paths: Sequence[str]) -> list[bool]:
    """Decode every file once, on all cores; return which of them :func:`read_image` would refuse.

    JPEG files are decoded at an eighth of their size, which reads all of their bytes.
    """
    with ThreadPoolExecutor() as pool:  # decoders let other threads run
        return list(pool.map(_is_unreadable, paths))


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
