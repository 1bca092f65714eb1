"""scikit-learn's handwritten digits: 1,797 images of 8x8 pixels in 10 classes, without download.

They are upsampled bilinearly, by default to 32x32, and split 60/20/20 into train, val and test.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgeexit.data.augmentation import AUGMENTATIONS, resolve_augmentation
from edgeexit.data.config import DataConfig
from edgeexit.data.dataset import ImageArrays, ImageData
from edgeexit.data.registry import register_dataset
from edgeexit.data.splits import three_way_split
from edgeexit.data.transforms import compose
from edgeexit.errors import DataError

INPUT_SIZE = (3, 32, 32)
LARGEST_VALUE = 16
SHARES = (0.6, 0.2, 0.2)
MEAN, STD = 0.305, 0.324  # of the training images at 32x32
MOVED = 1 / 16  # largest shift as a share of the size: 2 of 32 pixels


@register_dataset
def digits(config: DataConfig) -> ImageData:
    if config.data_dir is not None or config.download:
        raise DataError("digits: the images come with scikit-learn; omit --data-dir, --download")
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise DataError(
            "digits: scikit-learn, which has the images, is not installed: pip install "
            "'edgeexit[demo]'"
        ) from error
    bunch = load_digits()
    size = config.size_or(INPUT_SIZE)
    preprocessing = config.preprocessing(size, (MEAN,) * size[0], (STD,) * size[0])
    images = _enlarge(bunch.images, size[1:])
    # no flips: a mirrored digit is another digit or none
    augmentation = resolve_augmentation(config.augmentation, "crop")
    augmented = compose(AUGMENTATIONS[augmentation].steps(size[1:], MOVED), preprocessing)
    plain = compose([], preprocessing)
    class_names = tuple(str(name) for name in bunch.target_names)
    indices = three_way_split(bunch.target, SHARES, config.hold_out, "digits", class_names)
    parts = {
        name: (images[torch.from_numpy(part)].expand(-1, size[0], -1, -1), bunch.target[part])
        for name, part in indices.items()
    }
    return ImageData(
        class_names=class_names,
        preprocessing=preprocessing,
        training=ImageArrays(*parts["train"], augmented),
        splits={name: ImageArrays(*part, plain) for name, part in parts.items()},
        augmentation=augmentation,
    )


def _enlarge(images: NDArray[np.float64], size: tuple[int, int]) -> Tensor:
    """Map (N, 8, 8) with values 0 to 16 to uint8 (N, 1, height, width)."""
    small = torch.from_numpy(images)[:, None]  # (N, 1, 8, 8)
    large = F.interpolate(small, size=size, mode="bilinear", align_corners=False)
    return (large * (255 / LARGEST_VALUE)).round().to(torch.uint8)
