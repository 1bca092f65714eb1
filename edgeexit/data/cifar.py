"""CIFAR-10 and CIFAR-100 in torchvision's format (https://www.cs.toronto.edu/~kriz/cifar.html).

A tenth of the 50,000 training images is held out for validation, as the paper does (Section V).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

from edgeexit.data.augmentation import AUGMENTATIONS, PADDING, resolve_augmentation
from edgeexit.data.config import DataConfig
from edgeexit.data.dataset import ImageArrays, ImageData
from edgeexit.data.registry import register_dataset
from edgeexit.data.splits import hold_out_split
from edgeexit.data.transforms import compose
from edgeexit.errors import DataError

IMAGE_SIZE = (32, 32)
DEFAULT_FOLDER = "data"


@register_dataset
def cifar10(config: DataConfig) -> ImageData:
    return _load(
        torchvision.datasets.CIFAR10,
        config,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    )


@register_dataset
def cifar100(config: DataConfig) -> ImageData:
    return _load(
        torchvision.datasets.CIFAR100,
        config,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
    )


def _load(
    kind: type[torchvision.datasets.CIFAR10],
    config: DataConfig,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> ImageData:
    channels, height, width = config.size_or((3, *IMAGE_SIZE))
    if channels != 3:
        raise DataError(f"{config.name}: its images have 3 channels, got {channels}; use 3")
    preprocessing = config.preprocessing((3, height, width), mean, std)
    size = (height, width)
    resize = [] if size == IMAGE_SIZE else [v2.Resize(size, antialias=True)]
    augmentation = resolve_augmentation(config.augmentation, "crop-flip")
    vary = AUGMENTATIONS[augmentation].steps(IMAGE_SIZE, PADDING)
    augmented = compose([*vary, *resize], preprocessing)
    plain = compose(resize, preprocessing)

    training, test = (_read(kind, config, train=train) for train in (True, False))
    targets = np.asarray(training.targets)
    train, val = hold_out_split(training.targets, config.hold_out, config.name, training.classes)
    images = _tensor(training.data)
    return ImageData(
        class_names=tuple(training.classes),
        preprocessing=preprocessing,
        training=ImageArrays(images[torch.from_numpy(train)], targets[train], augmented),
        splits={
            "train": ImageArrays(images[torch.from_numpy(train)], targets[train], plain),
            "val": ImageArrays(images[torch.from_numpy(val)], targets[val], plain),
            "test": ImageArrays(_tensor(test.data), test.targets, plain),
        },
        augmentation=augmentation,
    )


def _read(
    kind: type[torchvision.datasets.CIFAR10], config: DataConfig, *, train: bool
) -> torchvision.datasets.CIFAR10:
    folder = Path(config.data_dir or DEFAULT_FOLDER)
    try:
        return kind(folder, train=train, download=config.download)
    except OSError as error:  # includes URLError
        raise DataError(
            f"{config.name}: could not be fetched into {folder} ({error}); put the folder "
            f"{kind.base_folder} of {kind.filename} there by hand"
        ) from error
    except RuntimeError as error:  # torchvision's checksums
        raise DataError(
            f"{config.name}: {kind.base_folder} is missing or damaged in {folder}; add --download "
            f"or unpack {kind.filename} there"
        ) from error


def _tensor(images: NDArray[np.uint8]) -> Tensor:
    """Map (N, H, W, C) to (N, C, H, W) without a copy."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2))
