"""Data sets by name.

A new data set is one file in this folder with a decorated loader; nothing else changes::

    @register_dataset
    def my_data(config: DataConfig) -> ImageData: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from edgeexit.data.config import DataConfig
from edgeexit.data.dataset import ImageData
from edgeexit.errors import DataError, UnknownNameError

__all__ = ["list_datasets", "load_data", "register_dataset"]

DatasetLoader = Callable[[DataConfig], ImageData]
Loader = TypeVar("Loader", bound=DatasetLoader)

CHANNELS = 3

_DATASETS: dict[str, DatasetLoader] = {}


def register_dataset(load: Loader) -> Loader:
    """Register a loader under its own name."""
    _DATASETS[load.__name__] = load
    return load


def list_datasets() -> list[str]:
    """Names of all registered data sets, sorted."""
    _import_all()
    return sorted(_DATASETS)


def load_data(config: DataConfig) -> ImageData:
    """Load the data set that ``config`` names.

    Raises:
        UnknownNameError: no data set has that name; the message offers close matches.
        DataError: its files are missing, empty or damaged.
    """
    _import_all()
    if config.name not in _DATASETS:
        raise UnknownNameError("data set", config.name, _DATASETS)
    if config.input_size is not None and config.input_size[0] != CHANNELS:
        raise DataError(
            f"{config.name}: images are read with {CHANNELS} channels, got the input size "
            f"{config.input_size}; use ({CHANNELS}, height, width)"
        )
    return _DATASETS[config.name](config)


@cache
def _import_all() -> None:
    """Import every file that registers a data set; they import this one, hence so late."""
    from edgeexit import data

    for module in pkgutil.iter_modules(data.__path__):
        importlib.import_module(f"{data.__name__}.{module.name}")
