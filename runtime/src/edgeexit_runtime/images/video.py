"""Frames of a video file, read by OpenCV, which only this module imports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.errors import BackendError, ImageError

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mjpeg", ".ts")
INSTALL = "pip install 'edgeexit-runtime[video]'"


def read_frames(path: str | Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a video, (H, W, 3) in RGB, until it ends or is damaged.

    Raises:
        ImageError: no frame can be read.
        BackendError: OpenCV is not installed.
    """
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise BackendError(f"OpenCV is not installed: {INSTALL}") from error
    video = cv2.VideoCapture(str(path))
    try:
        found, frame = video.read()
        if not found:
            raise ImageError(f"{path}: not a readable video; replace or remove it")
        while found:
            yield np.ascontiguousarray(frame[..., ::-1])  # OpenCV's colours are BGR
            found, frame = video.read()
    finally:
        video.release()
