"""Find splits, classes and images in folders of class folders.

Nothing is guessed silently: an ambiguous layout is rejected with a message that says what was
found.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from edgeexit_runtime.images.folder import (
    FoundImages,
    describe_left_out,
    find_images,
    list_folders,
)
from numpy.typing import NDArray

from edgeexit.data.words import some
from edgeexit.errors import DataError

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Names of the folders of each split, in any letter case."""

BESIDE = "image outside the class folders"


@dataclass(frozen=True, slots=True)
class Files:
    """Image files and their labels."""

    paths: tuple[str, ...]
    labels: tuple[int, ...]

    def take(self, indices: NDArray[Any]) -> Files:
        """Return those at ``indices``."""
        return Files(tuple(self.paths[i] for i in indices), tuple(self.labels[i] for i in indices))


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """One folder of class folders.

    Attributes:
        folder: the parent of the class folders.
        class_names: their names, sorted.
        files: all images in and below them, class by class.
        left_out: counts of other files, see
            :class:`edgeexit_runtime.images.folder.FoundImages`.
        notes: sentences about layouts that may be a mistake.
    """

    folder: Path
    class_names: tuple[str, ...]
    files: Files
    left_out: Mapping[str, int]
    notes: tuple[str, ...]


def find_splits(root: Path) -> dict[str, Path]:
    """Return the folders of ``train``, ``val`` and ``test`` in ``root``.

    The result is empty if ``root`` is one tree of class folders.

    Raises:
        DataError: two folders are the same split, or images to train or to validate on are missing.
    """
    names = list_folders(root)
    found = {split: _named(names, known) for split, known in SPLIT_NAMES.items()}
    found = {split: same for split, same in found.items() if same}
    if not found or _is_class_of_trains(root, names, found):
        return {}
    for split, same in found.items():
        if len(same) > 1:
            raise DataError(
                f"imagefolder: {root} has {same[0]}/ and {same[1]}/, both of which are names of "
                f"the {split} split; remove one"
            )
    if "train" not in found or len(found) == 1:
        (there, *_), lacking = min(found.values()), "train/" if "train" not in found else "val/"
        raise DataError(
            f"imagefolder: {root} has {there}/ but no {lacking}; add it, or give only class "
            "folders, which are split automatically"
        )
    folders = {split: root / same[0] for split, same in found.items()}
    for one, other in combinations(sorted(folders.values()), 2):
        if one.samefile(other):
            raise DataError(
                f"imagefolder: {one.name}/ and {other.name}/ in {root} are one folder: images for "
                "training or tuning would be tested on, too; remove one"
            )
    return folders


def find_classes(folder: Path) -> ClassFolders:
    """Return the classes in ``folder``, and every image below ``folder/CLASS/``.

    Raises:
        DataError: there are fewer than two classes, a class has no images, or names or folders
            are ambiguous.
    """
    names = list_folders(folder)
    found = find_images(folder)
    if len(names) < 2:
        raise _too_few(found, names)
    _check_unlike(folder, names)
    images: dict[str, list[str]] = {name: [] for name in names}
    inner: dict[str, set[str]] = {name: set() for name in names}  # "" if images are directly in it
    for path, folders in zip(found.paths, found.folders, strict=True):
        if folders:
            images[folders[0]].append(path)
            inner[folders[0]].add(folders[1] if len(folders) > 1 else "")
    empty = [name for name in names if not images[name]]
    if empty:
        there = describe_left_out(find_images(folder / empty[0]).left_out)
        raise DataError(
            f"imagefolder: no images in {folder / empty[0]}{_and_more(empty)}, got "
            f"{there or 'nothing'}; put some there or remove the folder"
        )
    _check_no_splits(folder, inner)
    paths = tuple(path for name in names for path in images[name])
    labels = tuple(label for label, name in enumerate(names) for _ in images[name])
    beside = len(found.paths) - len(paths)
    left_out = {**found.left_out, **({BESIDE: beside} if beside else {})}
    return ClassFolders(folder, tuple(names), Files(paths, labels), left_out, _notes(folder, inner))


def check_same_classes(found: Sequence[ClassFolders]) -> None:
    """Raise DataError if the splits do not have the same classes."""
    first = found[0]
    for other in found[1:]:
        for more, lacking in ((other, first), (first, other)):
            names = sorted(set(more.class_names) - set(lacking.class_names))
            if not names:
                continue
            alike = [n for n in lacking.class_names if _as_read(n) == _as_read(names[0])]
            if alike:
                raise DataError(
                    f"imagefolder: {more.folder} has the class {names[0]!a}, {lacking.folder} has "
                    f"{alike[0]!a}: the same word, but for letter case, spaces or the form of its "
                    "Unicode; give both folders one name"
                )
            raise DataError(
                f"imagefolder: {more.folder} has the class {names[0]}, which {lacking.folder} "
                f"lacks{_and_more(names)}; use the same class folders in both"
            )


def _named(names: Sequence[str], known: Sequence[str]) -> list[str]:
    return [name for name in names if name.casefold() in known]


def _is_class_of_trains(root: Path, names: Sequence[str], found: Mapping[str, list[str]]) -> bool:
    """Whether the only folder with a split's name is a class, of pictures of trains."""
    return (
        [*found] == ["train"]
        and len(found["train"]) == 1
        and len(names) > 1
        and not list_folders(root / found["train"][0])
    )


def _check_no_splits(folder: Path, inner: Mapping[str, set[str]]) -> None:
    for name, folders in inner.items():
        splits = [s for known in SPLIT_NAMES.values() for s in _named(sorted(folders), known)[:1]]
        if len(splits) > 1:
            raise DataError(
                f"imagefolder: {folder / name} holds {splits[0]}/ and {splits[1]}/, so it is not a "
                f"class: give it as --data-dir, or put the splits above the classes, as in "
                f"{splits[0]}/{name}/"
            )


def _notes(folder: Path, inner: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Return a note if no image is directly in a class: the inner folders may be the classes."""
    if any("" in folders for folders in inner.values()):
        return ()
    several = [name for name, folders in inner.items() if len(folders) > 1]
    return tuple(
        f"every class of {folder} holds only folders, as {name}/ does "
        f"({some(sorted(inner[name]))}): if these are the classes, give --data-dir {folder / name}"
        for name in several[:1]
    )


def _too_few(found: FoundImages, names: Sequence[str]) -> DataError:
    flat = sum(not folders for folders in found.folders)
    got = f"{names[0]}/ alone" if names else f"{flat} images without one" if flat else "none"
    advice = "sort the images into them or remove the folder"
    if names and not flat and found.paths:
        deepest = Path(os.path.commonpath([Path(path).parent for path in found.paths]))
        inner = list_folders(deepest)
        if deepest != found.folder and len(inner) > 1:
            got += f", with {some(f'{name}/' for name in inner)} in {deepest}"
            advice = f"if these are meant, move them up or give --data-dir {deepest}"
    others = describe_left_out(found.left_out)
    if others and not found.paths:
        got += f", and {others}"
    return DataError(
        f"imagefolder: expected one folder per class in {found.folder}, at least 2, got {got}; "
        f"{advice}"
    )


def _check_unlike(folder: Path, names: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for name in names:
        same = first.setdefault(unicodedata.normalize("NFC", name), name)
        if same != name:
            raise DataError(
                f"imagefolder: {folder} has {same!a} and {name!a}, one name in two forms of "
                "Unicode; put their images into one folder"
            )


def _as_read(name: str) -> str:
    """Return a normalized name, the same for names that look alike to a reader."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _and_more(names: Sequence[str]) -> str:
    return f", and {len(names) - 1} more such" if len(names) > 1 else ""
