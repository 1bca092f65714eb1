"""Finding the image files in a folder: for training, calibration, benchmark and prediction alike.

Names that begin with a dot, and files that systems and tools leave behind, are skipped. Links to
files and to folders are followed, even out of the folder. Each folder is searched once, however
many links lead to it, so that cycles of links end and no image is found twice through one.
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
"""Pictures that Pillow reads, without icons, videos, and vector graphics (EPS, WMF).

A format that this Pillow was built without is found too, and refused by name when it is opened.
"""

LEFT_BY_TOOLS = frozenset(
    {
        *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "#recycle"),
        *("$recycle.bin", "system volume information", "lost+found", "__pycache__"),
    }
)
"""In lower case."""

LISTED = 5  # kinds of omitted files to list; numbered files may each have their own suffix


@dataclass(frozen=True, slots=True)
class FoundImages:
    """The images found in a folder.

    Attributes:
        folder: the folder that was searched.
        paths: of the images in it and in the folders below, ordered by name; strings, as there may
            be a million.
        left_out: number of other files by kind: a suffix in lower case, or words such as ``link
            to nothing``.
    """

    folder: Path
    paths: tuple[str, ...]
    left_out: Mapping[str, int]

    @property
    def folders(self) -> list[list[str]]:
        """For each image the names of the folders between ``folder`` and it, outermost first."""
        start = str(self.folder)
        inside = (path.removeprefix(start).lstrip(os.sep) for path in self.paths)
        return [path.split(os.sep)[:-1] for path in inside]  # noqa: PTH206 ten times as fast

    @property
    def notes(self) -> tuple[str, ...]:
        """One line about files left out, if there are any."""
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
    """Whether a file's name has an image suffix."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Return the most frequent kinds in words: ``40 .heic, 12 .txt``; empty if there are none."""
    kinds = sorted(left_out.items(), key=lambda kind: (-kind[1], kind[0]))
    others = sum(count for _, count in kinds[LISTED:])
    shown = [*kinds[:LISTED], *([("other", others)] if others else [])]
    return ", ".join(f"{count:,} {what if count == 1 else _plural(what)}" for what, count in shown)


def _plural(what: str) -> str:
    """Return the plural, such as ``files without a suffix``; suffixes are unchanged."""
    first, space, rest = what.partition(" ")
    return what if what.startswith(".") else f"{first}s{space}{rest}"


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder that are not skipped, ordered by name."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not _is_passed_over(entry.name)]
    except OSError as error:
        raise InputError(
            f"{folder}: the folder cannot be listed ({error.strerror}); make it readable or remove "
            "it"
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
    """Return the identity of a folder under all of its names; None if it has no status."""
    try:
        status = Path(folder).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _reason(entry: os.DirEntry[str]) -> str | None:
    """Return why a file is left out; None for an image."""
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
    # untrusted names are printed: nothing long, and no control characters
    return suffix if re.fullmatch(r"\.\w{1,9}", suffix, re.ASCII) else "file of an odd name"
