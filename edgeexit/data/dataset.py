"""A loaded data set: its splits, classes and preprocessing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from edgeexit_runtime.images.preprocess import Preprocessing
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

Sample = tuple[Tensor, int]
"""An image, float32 (C, H, W) and normalized, and its label."""

Transform = Callable[..., Tensor]
"""Maps a uint8 image, as a tensor (C, H, W) or from PIL, to the float32 tensor of a sample."""


class ImageDataset(Dataset[Sample], ABC):
    """Labeled images, by index."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True, slots=True)
class ImageData:
    """A loaded data set.

    Attributes:
        class_names: the name of each label, in order.
        preprocessing: the preprocessing of ``splits``, the same as the runtime's on a device.
        training: the training images, augmented with torch's random numbers at every access.
        splits: ``train``, ``val`` and ``test``, without augmentation. No image is in two of them.
            Choose on ``val``, report on ``test``.
        augmentation: name of the augmentation of the training images.
        skipped: files that were skipped because they cannot be read; None if the images are not
            single files.
        left_out: number of files that are not images, by kind, see
            :class:`edgeexit_runtime.images.folder.FoundImages`.
        notes: further remarks for the user, in sentences.
        fingerprint: digest of which images are in ``train`` and ``val``, set by
            :func:`edgeexit.data.load_data`.
    """

    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    training: ImageDataset
    splits: dict[str, ImageDataset]
    augmentation: str = "auto"
    skipped: tuple[str, ...] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    fingerprint: str = ""


class ImageArrays(ImageDataset):
    """Images in memory.

    Args:
        images: uint8 (N, C, H, W).
        labels: N labels.
        transform: applied at every access.
    """

    def __init__(
        self, images: Tensor, labels: Sequence[int] | NDArray[np.int64], transform: Transform
    ) -> None:
        assert images.dtype == torch.uint8
        assert len(images) == len(labels)
        self.images = images
        self.labels = [int(label) for label in labels]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        return self.transform(self.images[index]), self.labels[index]
