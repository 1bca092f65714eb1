from __future__ import annotations

import pytest

from edgeexit.data import DataConfig
from edgeexit.errors import UnknownNameError
from edgeexit.training import TrainConfig
from edgeexit.training.settings.recipes import RECIPES


def _config(name: str, backbone: str) -> TrainConfig:
    recipe = RECIPES[name]
    return TrainConfig(backbone, "3+1", DataConfig(**recipe.data), **recipe.options(backbone))


@pytest.mark.parametrize(
    ("name", "backbone", "epochs", "batch_size"),
    [
        ("cifar100", "resnet56", 300, 64),
        ("imagenet", "resnet18", 60, 256),
        ("imagenet", "mobilenet_v2", 90, 256),
    ],
)
def test_the_papers_settings(name: str, backbone: str, epochs: int, batch_size: int) -> None:
    """Section V-A, number by number."""
    config = _config(name, backbone)
    assert (config.epochs, config.batch_size) == (epochs, batch_size)
    assert (config.lr, config.momentum, config.weight_decay) == (0.01, 0.9, 0.0001)
    assert (config.distill_lambda, config.temperature) == (0.9, 1.0)
    assert config.strategy == "coop"
    assert config.data.hold_out == 50, "5K of CIFAR-100, 50 per class of ImageNet"


def test_the_papers_images() -> None:
    cifar, imagenet = _config("cifar100", "resnet56").data, _config("imagenet", "resnet18").data
    assert (cifar.name, cifar.input_size, cifar.augmentation) == (
        "cifar100",
        (3, 32, 32),
        "crop-flip",
    )
    assert (imagenet.name, imagenet.input_size, imagenet.augmentation) == (
        "imagefolder",
        (3, 224, 224),
        "resize-crop-flip",
    )


def test_an_unknown_recipe() -> None:
    with pytest.raises(UnknownNameError, match="unknown recipe 'cifar10': did you mean cifar100"):
        RECIPES["cifar10"]
