"""The paper's training settings by name (Section V-A)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edgeexit.registry import Registry


@dataclass(frozen=True, slots=True)
class Recipe:
    """Training settings for a data set.

    Attributes:
        title: one sentence with its purpose and source.
        options: maps a backbone's name to fields of :class:`edgeexit.training.TrainConfig`.
        data: fields of :class:`edgeexit.data.DataConfig`.
    """

    title: str
    options: Callable[[str], Mapping[str, Any]]
    data: Mapping[str, Any]


RECIPES: Registry[Recipe] = Registry("recipe")

_PAPER = {
    "strategy": "coop",
    "lr": 0.01,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "distill_lambda": 0.9,
    "temperature": 1.0,
}


def _cifar100(backbone: str) -> dict[str, Any]:
    return {"epochs": 300, "batch_size": 64, **_PAPER}


def _imagenet(backbone: str) -> dict[str, Any]:
    return {"epochs": 90 if backbone == "mobilenet_v2" else 60, "batch_size": 256, **_PAPER}


RECIPES.register("cifar100")(
    Recipe(
        "CIFAR-100 as in Section V-A: 45,000 images to train on, 5,000 held out to choose on",
        _cifar100,
        MappingProxyType(
            {
                "name": "cifar100",
                "input_size": (3, 32, 32),
                "hold_out": 50,
                "augmentation": "crop-flip",
            }
        ),
    )
)
RECIPES.register("imagenet")(
    Recipe(
        "ImageNet 2012 as in Section V-A: 50 images per class held out from train/ to choose on, "
        "val/ to test on",
        _imagenet,
        MappingProxyType(
            {
                "name": "imagefolder",
                "input_size": (3, 224, 224),
                "hold_out": 50,
                "augmentation": "resize-crop-flip",
            }
        ),
    )
)
