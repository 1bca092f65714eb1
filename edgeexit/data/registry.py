"""Registry of data sets.

A new data set is one file in this folder with a decorated loader; nothing else changes::

    @register_dataset
    def my_data(config: DataConfig) -> ImageData: ...

If images have no fixed size, ``@register_dataset(any_size=True)`` lets the network determine it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
from edgeexit_runtime.images.fitting import MODES

from edgeexit.data.class_folders import Files
from edgeexit.data.config import DataConfig
from edgeexit.data.dataset import ImageData
from edgeexit.errors import DataError
from edgeexit.registry import Registry

DatasetLoader = Callable[[DataConfig], ImageData]
Loader = TypeVar("Loader", bound=DatasetLoader)


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A registered data set, and whether its images have no fixed size."""

    load: DatasetLoader
    any_size: bool


_DATASETS: Registry[DatasetEntry] = Registry("data set", package="edgeexit.data")


@overload
def register_dataset(load: Loader) -> Loader: ...


@overload
def register_dataset(*, any_size: bool) -> Callable[[Loader], Loader]: ...


def register_dataset(
    load: Loader | None = None, *, any_size: bool = False
) -> Loader | Callable[[Loader], Loader]:
    """Register a loader under its own name.

    Args:
        load: the loader.
        any_size: its images have no fixed size; in training they get the backbone's.

    Raises:
        ValueError: another data set has this name.
    """

    def register(load: Loader) -> Loader:
        _DATASETS.register(load.__name__)(DatasetEntry(load, any_size))
        return load

    return register if load is None else register(load)


def list_datasets() -> list[str]:
    """Return the names of all registered data sets, sorted."""
    return _DATASETS.names()


def has_any_size(name: str) -> bool:
    """Whether the images of a data set have no fixed size."""
    return name in _DATASETS and _DATASETS[name].any_size


def load_data(config: DataConfig) -> ImageData:
    """Load the data set that ``config`` names; if its images changed since, a note says so.

    Raises:
        UnknownNameError: no data set has that name; the message suggests close matches.
        DataError: its files are missing, empty or damaged, or a label is out of range.
    """
    load = _DATASETS[config.name].load
    channels = config.channels if config.input_size is None else config.input_size[0]
    if channels is not None and channels not in MODES:
        raise DataError(
            f"{config.name}: images are read with 3 channels, or as grey with 1, got {channels}"
        )
    data = load(config)
    if config.skip_corrupt and data.skipped is None:
        raise DataError(
            f"{config.name}: its images are not single files that could be skipped; omit "
            "--skip-corrupt"
        )
    _check_labels(config.name, data)
    data = replace(data, fingerprint=_fingerprint(data, str(Path(config.data_dir or ""))))
    if config.fingerprint in (None, data.fingerprint):
        return data
    note = (
        f"{config.name}: the images to train and to choose on are not those that the network was "
        "made with: val and test may now hold images that it was trained on"
    )
    return replace(data, notes=(*data.notes, note))


def _fingerprint(data: ImageData, folder: str) -> str:
    """Return a digest of the images in ``train`` and ``val``, by their paths or else their labels.

    A folder that has moved as a whole has the same one.
    """
    digest = hashlib.sha256()
    for split in ("train", "val"):
        images = data.splits.get(split, ())
        named = getattr(images, "files", None)
        # plain numbers, as arrays are shortened in text and other sequences are an address
        known = np.asarray(getattr(images, "labels", ())).tolist()
        if isinstance(named, Files):
            inside = (path.removeprefix(folder).replace(os.sep, "/") for path in named.paths)
            known = named.labels, [path.lstrip("/") for path in inside]  # of ".", none has a slash
        digest.update(repr((split, len(images), known)).encode())
    return digest.hexdigest()[:16]


def _check_labels(name: str, data: ImageData) -> None:
    """Raise DataError if a label in memory is out of range."""
    for split, images in {**data.splits, "training": data.training}.items():
        labels = np.asarray(getattr(images, "labels", ()))
        outside = labels[(labels < 0) | (labels >= len(data.class_names))]
        if len(outside):
            raise DataError(
                f"{name}: expected labels of 0 to {len(data.class_names) - 1}, got {outside[0]} in "
                f"{split}; the files are damaged or have other classes"
            )
