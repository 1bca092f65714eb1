"""The image files in a folder: one walk for training, calibration, benchmark and prediction.

Names that begin with a dot and what systems and tools leave behind are passed over. Links are
followed, to files and to folders, out of the folder too. Each folder is searched once, however many
links lead to it, so that no circle of links goes on for ever and no image is found twice by one.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from edgeexit_runtime.errors import InputError

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".webp", ".avif"),
    *(".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k"),
    *(".jpf", ".jpx", ".j2c", ".jpc", ".tga", ".pcx", ".qoi", ".sgi", ".ras", ".psd"),
)
"""Pictures that Pillow reads. Not icons, videos, or what is drawn rather than read (EPS, WMF).

One that this Pillow was built without is found too, and refused by name when it is opened.
"""

LEFT_BY_TOOLS = frozenset(
    {
        *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "#recycle"),
        *("$recycle.bin", "system volume information", "lost+found", "__pycache__"),
    }
)
"""In lower case."""

LISTED = 5  # kinds of what was left out; numbered files may have a suffix each


@dataclass(frozen=True, slots=True)
class FoundImages:
    """What a folder holds.

    Attributes:
        folder: what was searched.
        paths: of the images in it and in the folders below, in order of their names; text, since
            there may be a million.
        left_out: how many other files there are, by what they are: a suffix in lower case, or
            words such as ``link to nothing``.
    """

    folder: Path
    paths: tuple[str, ...]
    left_out: Mapping[str, int]

    @property
    def folders(self) -> list[list[str]]:
        """For each image the names of the folders from ``folder`` down to it; none within it."""
        start = str(self.folder)
        inside = (path.removeprefix(start).lstrip(os.sep) for path in self.paths)
        return [path.split(os.sep)[:-1] for path in inside]  # noqa: PTH206 ten times as fast

    @property
    def notes(self) -> tuple[str, ...]:
        """A line about what was left out, where anything was."""
        left_out = describe_left_out(self.left_out)
        return (f"{self.folder}: left out {left_out}",) if left_out else ()


def find_images(folder: str | Path) -> FoundImages:
    """Return the images in a folder and in those below it.

    Raises:
        InputError: a folder cannot be listed.
    """
    paths: list[str] = []
    left_out: Counter[str] = Counter()
    searched = {_identity(folder)}
    pending = _visible(Path(folder))[::-1]
    while pending:
        entry = pending.pop()
        if not _is_folder(entry):
            reason = _reason(entry)
            if reason is None:
                paths.append(entry.path)
            else:
                left_out[reason] += 1
        elif (identity := _identity(entry.path)) in searched:
            left_out["folder found twice"] += 1
        else:
            searched.add(identity)
            pending += _visible(entry.path)[::-1]
    return FoundImages(Path(folder), tuple(paths), dict(left_out))


def list_folders(folder: str | Path) -> list[str]:
    """Return the names of the folders in ``folder`` that :func:`find_images` searches, in order.

    Raises:
        InputError: it cannot be listed.
    """
    return [entry.name for entry in _visible(folder) if _is_folder(entry)]


def has_image_suffix(name: str) -> bool:
    """Whether a file's name says that it is an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Return the most frequent kinds in words: ``40 .heic, 12 .txt``; empty where none is."""
    kinds = sorted(left_out.items(), key=lambda kind: (-kind[1], kind[0]))
    others = sum(count for _, count in kinds[LISTED:])
    shown = [*kinds[:LISTED], *([("other", others)] if others else [])]
    return ", ".join(f"{count:,} {what if count == 1 else _plural(what)}" for what, count in shown)


def _plural(what: str) -> str:
    """Return ``files without a suffix`` for one of them; suffixes stay as they are."""
    first, space, rest = what.partition(" ")
    return what if what.startswith(".") else f"{first}s{space}{rest}"


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, in order of the names."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not _is_passed_over(entry.name)]
    except OSError as error:
        raise InputError(
            f"{folder}: the folder cannot be listed ({error.strerror}); make it readable or take "
            "it away"
        ) from error
    return sorted(visible, key=lambda entry: entry.name)


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BY_TOOLS


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(folder: str | Path) -> tuple[int, int] | None:
    """Return what the names of one folder have in common; listing tells what is wrong with it."""
    try:
        status = Path(folder).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _reason(entry: os.DirEntry[str]) -> str | None:
    """Return why a file is left out, None for an image."""
    try:
        is_file = entry.is_file()
    except OSError:
        is_file = False
    if not is_file:
        return "link to nothing" if entry.is_symlink() else "file of a special kind"
    if has_image_suffix(entry.name):
        return None
    suffix = PurePath(entry.name).suffix.lower()
    if not suffix:
        return "file without a suffix"
    # what comes from outside is printed: nothing long, and no control characters
    return suffix if re.fullmatch(r"\.\w{1,9}", suffix, re.ASCII) else "file of an odd name"
