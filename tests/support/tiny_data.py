"""A data set that is learned in a second: 25 images of 8x8 in two classes."""

from __future__ import annotations

import torch
from edgeexit_runtime.images.preprocess import Preprocessing
from torchvision.transforms import v2

from edgeexit.data import DataConfig, ImageData
from edgeexit.data.dataset import ImageArrays
from edgeexit.data.transforms import compose
from edgeexit.training import TrainConfig

SIZE = (3, 8, 8)
COUNTS = {"train": 25, "val": 12, "test": 6}  # 25 is three batches of 8, and one image over


def _split(count: int, seed: int) -> tuple[torch.Tensor, list[int]]:
    """Noise that is brighter in the upper or the lower half, which is the class."""
    random = torch.Generator().manual_seed(seed)
    labels = [i % 2 for i in range(count)]
    images = torch.randint(0, 120, (count, *SIZE), generator=random, dtype=torch.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 4 * label : 4 * label + 4] += 120
    return images, labels


def tiny(config: DataConfig) -> ImageData:
    preprocessing = Preprocessing(SIZE, (0.5,) * 3, (0.25,) * 3)
    plain = compose([], preprocessing)
    augmented = compose([v2.RandomCrop(SIZE[1:], padding=1)], preprocessing)
    parts = {name: _split(count, seed) for seed, (name, count) in enumerate(COUNTS.items())}
    return ImageData(
        class_names=("upper", "lower"),
        preprocessing=preprocessing,
        training=ImageArrays(*parts["train"], augmented),
        splits={name: ImageArrays(*part, plain) for name, part in parts.items()},
    )


def short_run() -> TrainConfig:
    """Return a run of two epochs of three steps, which is saved after each step."""
    return TrainConfig(
        "three_convolutions",
        "1+n",
        DataConfig("tiny"),
        epochs=2,
        distill="wed",
        batch_size=8,
        device="cpu",
        save_minutes=0,
    )
