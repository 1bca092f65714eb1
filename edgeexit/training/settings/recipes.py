"""The paper's training settings by name (Section V-A)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeexit.registry import Registry


@dataclass(frozen=True, slots=True)
class Recipe:
    """Training settings for a data set.

    Attributes:
        title: one sentence with its purpose and source.
        fields: fields of :class:`edgeexit.training.TrainConfig`.
        data: fields of :class:`edgeexit.data.DataConfig`.
        epochs: passes over the images for the backbones that need others than ``fields`` says.
    """

    title: str
    fields: Mapping[str, Any]
    data: Mapping[str, Any]
    epochs: Mapping[str, int] = field(default_factory=dict)

    def options(self, backbone: str) -> dict[str, Any]:
        """Return the fields of :class:`edgeexit.training.TrainConfig` for a backbone."""
        return {**self.fields, "epochs": self.epochs.get(backbone, self.fields["epochs"])}


RECIPES: Registry[Recipe] = Registry("recipe")

_PAPER = {
    "strategy": "coop",
    "lr": 0.01,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "distill_lambda": 0.9,
    "temperature": 1.0,
}
RECIPES.register("cifar100")(
    Recipe(
        "CIFAR-100 as in Section V-A: 45,000 images to train on, 5,000 held out to choose on",
        {"epochs": 300, "batch_size": 64, **_PAPER},
        {
            "name": "cifar100",
            "input_size": (3, 32, 32),
            "hold_out": 50,
            "augmentation": "crop-flip",
        },
    )
)
RECIPES.register("imagenet")(
    Recipe(
        "ImageNet 2012 as in Section V-A: 50 images per class held out from train/ to choose on, "
        "val/ to test on",
        {"epochs": 60, "batch_size": 256, **_PAPER},
        {
            "name": "imagefolder",
            "input_size": (3, 224, 224),
            "hold_out": 50,
            "augmentation": "resize-crop-flip",
        },
        epochs={"mobilenet_v2": 90},
    )
)
