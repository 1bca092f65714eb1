"""Registered data sets: their splits, classes and transforms."""

from edgeexit.data.config import DataConfig
from edgeexit.data.dataset import ImageData
from edgeexit.data.registry import list_datasets, load_data, register_dataset

__all__ = ["DataConfig", "ImageData", "list_datasets", "load_data", "register_dataset"]
