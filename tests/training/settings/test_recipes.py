from __future__ import annotations

import pytest

from edgeexit.data import DataConfig
from edgeexit.errors import UnknownNameError
from edgeexit.training import TrainConfig
from edgeexit.training.settings.recipes import RECIPES

CIFAR, IMAGENET = ("cifar100", (3, 32, 32)), ("imagefolder", (3, 224, 224))


@pytest.mark.parametrize(
    ("name", "backbone", "epochs", "batch_size", "images", "augmentation"),
    [
        ("cifar100", "resnet56", 300, 64, CIFAR, "crop-flip"),
        ("imagenet", "resnet18", 60, 256, IMAGENET, "resize-crop-flip"),
        ("imagenet", "mobilenet_v2", 90, 256, IMAGENET, "resize-crop-flip"),
    ],
)
def test_the_papers_settings(
    name: str,
    backbone: str,
    epochs: int,
    batch_size: int,
    images: tuple[str, tuple[int, int, int]],
    augmentation: str,
) -> None:
    """Section V-A, number by number."""
    recipe = RECIPES[name]
    data = DataConfig(**recipe.data)
    config = TrainConfig(backbone, "3+1", data, **recipe.options(backbone))
    assert (config.epochs, config.batch_size) == (epochs, batch_size)
    assert (config.lr, config.momentum, config.weight_decay) == (0.01, 0.9, 0.0001)
    assert (config.distill_lambda, config.temperature) == (0.9, 1.0)
    assert config.strategy == "coop"
    assert data.hold_out == 50, "5K of CIFAR-100, 50 per class of ImageNet"
    assert ((data.name, data.input_size), data.augmentation) == (images, augmentation)


def test_an_unknown_recipe() -> None:
    with pytest.raises(UnknownNameError, match="unknown recipe 'cifar10': did you mean cifar100"):
        RECIPES["cifar10"]
