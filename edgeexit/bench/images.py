"""Real images to benchmark on, preprocessed as the bundle's manifest specifies.

Only a seeded sample of them is read. Only data sets given by name import torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from edgeexit_runtime.bundle.manifest import Manifest
from edgeexit_runtime.images.decoding import MAX_PIXELS
from edgeexit_runtime.images.folder import FoundImages
from numpy.typing import NDArray

from edgeexit.errors import DataError, InputError
from edgeexit.fitting import check_data_set
from edgeexit.images.arrays import read_images
from edgeexit.images.files import find_images, read_pixels
from edgeexit.paths import is_file, is_folder

if TYPE_CHECKING:
    from edgeexit.data import DataConfig


@dataclass(frozen=True, slots=True, eq=False)
class BenchImages:
    """Images ready to run.

    Attributes:
        source: where they came from, for the report.
        images: (N, C, H, W) float32, normalized, C-contiguous, N at least 1.
        labels: (N,) int64; None if unknown.
        notes: lines about the source, such as how many of its files were skipped.
        manifest: of the bundle that they were prepared for; None if unknown.
    """

    source: str
    images: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    notes: tuple[str, ...] = ()
    manifest: Manifest | None = None

    def __post_init__(self) -> None:
        if len(self.images) == 0:
            raise InputError(f"{self.source}: expected at least one image, got none")
        if self.labels is not None and len(self.labels) != len(self.images):
            raise InputError(
                f"{self.source}: expected a label for each of {len(self.images)} images, got "
                f"{len(self.labels)}"
            )


def images_from_dataset(
    config: DataConfig, manifest: Manifest, samples: int, seed: int
) -> BenchImages:
    """Choose images from the test split of a data set.

    Args:
        config: the data set; its input size defaults to the bundle's.
        manifest: of the bundle that will run them.
        samples: maximum number of images.
        seed: of the random choice.

    Raises:
        UnknownNameError: no data set has that name.
        DataError: the data set is missing, damaged, or has other classes.
    """
    from edgeexit.data import load_data  # imports torch
    from edgeexit.data.words import describe_data

    preprocessing = manifest.preprocessing
    data = load_data(
        dataclasses.replace(config, input_size=config.input_size or preprocessing.input_size)
    )
    classes, prepared = (manifest.class_names, data.class_names), data.preprocessing
    notes = check_data_set(config.name, classes, (preprocessing, prepared))
    split = data.splits["test"]
    if len(split) == 0:
        raise DataError(f"{config.name}: expected a test split with images, got an empty one")
    chosen = [split[index] for index in _choose(len(split), samples, seed)]
    images = np.stack([image.numpy() for image, _ in chosen])
    labels = np.array([label for _, label in chosen], np.int64)
    notes += describe_data(config.name, data)
    return BenchImages(f"{config.name} (test)", images, labels, notes, manifest)


def images_from_folder(
    folder: str | Path, manifest: Manifest, samples: int, seed: int, max_pixels: int = MAX_PIXELS
) -> BenchImages:
    """Choose images from a folder of images, or of class folders named after the bundle's classes.

    Args:
        folder: searched recursively.
        manifest: of the bundle that will run them.
        samples: maximum number of images.
        seed: of the random choice.
        max_pixels: larger images are refused.

    Raises:
        DataError: the folder is missing, empty or has other classes, or an image is not readable.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise DataError(f"there is no folder {folder}; expected one with images")
    found = find_images(folder)
    known = folder_labels(found, manifest.class_names)
    chosen = _choose(len(found.paths), samples, seed)
    paths = [found.paths[index] for index in chosen]
    pixels = np.stack([read_pixels(path, manifest.preprocessing, max_pixels) for path in paths])
    labels = None if known is None else np.array([known[index] for index in chosen], np.int64)
    return BenchImages(str(folder), manifest.preprocessing(pixels), labels, found.notes, manifest)


def images_from_npz(file: str | Path, manifest: Manifest, samples: int, seed: int) -> BenchImages:
    """Choose images from a NumPy archive with ``images`` and, optionally, ``labels`` (N,).

    ``images`` are uint8 (N, H, W, C) of the bundle's input size, or float32 (N, C, H, W), already
    normalized.

    Args:
        file: the ``.npz`` file, or a ``.npy`` file with only images.
        manifest: of the bundle that will run them.
        samples: maximum number of images.
        seed: of the random choice.

    Raises:
        DataError: the file is missing, damaged, or holds arrays of another shape or dtype.
        InputError: it holds no images.
    """
    file = Path(file)
    if not is_file(file):
        raise DataError(f"{file}: no such file; expected a NumPy archive (.npz)")
    classes = len(manifest.class_names)
    found = read_images(
        file, manifest.preprocessing, lambda count: _choose(count, samples, seed), classes
    )
    notes = () if found.doubt is None else (f"{file}: {found.doubt}",)
    return BenchImages(str(file), found.images, found.labels, notes, manifest)


def _choose(count: int, samples: int, seed: int) -> list[int]:
    """Return the indices of up to ``samples`` of ``count`` images, in random order."""
    if samples < 1:
        raise InputError(f"samples: expected 1 or more, got {samples}")
    chosen: list[int] = np.random.default_rng(seed).permutation(count)[:samples].tolist()
    return chosen


def folder_labels(found: FoundImages, class_names: Sequence[str]) -> list[int] | None:
    """Return the label of every image from its class folder; None without class folders.

    Raises:
        DataError: a class folder is not a class of the bundle, or images lie beside class folders.
    """
    folders = [above[0] if above else "" for above in found.folders]
    others = sorted({*folders} - {*class_names, ""})
    if "" in folders:
        if {*folders} & {*class_names}:
            raise DataError(
                f"{found.folder}: expected images in class folders or images without, got both, "
                f"{folders.count('')} beside the folders; move these into them or remove them"
            )
        return None
    if others:
        raise DataError(
            f"{found.folder / others[0]}: {others[0]!r} is no class of the bundle "
            f"({_some(class_names)}); name class folders as its classes, or put the images into "
            "one folder without classes"
        )
    return [class_names.index(name) for name in folders]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
