"""How training images are varied, by name. The steps take and give uint8 images.

A new way is one more :class:`Augmentation` in :data:`AUGMENTATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torchvision.transforms import v2

from edgeexit.registry import Registry

AUTO = "auto"
PADDING = 4 / 32
"""Share of the size that images are moved by at most, as on CIFAR (Section V)."""

RESIZE_RATIO = 256 / 224
"""Images are resized to this times what is cropped of them, as on ImageNet (Section V)."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """One way to vary images.

    Attributes:
        title: what it does, in a phrase.
        steps: maps the (height, width) that images are to have, and the share of it that they are
            moved by at most, to the steps.
        resizes: the steps bring images of any size to it; else they have it before.
    """

    title: str
    steps: Callable[[tuple[int, int], float], list[nn.Module]]
    resizes: bool = False


AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation")


def resolve_augmentation(asked: str, usual: str) -> str:
    """Return ``asked``, or what is ``usual`` with the data set where that is ``auto``.

    Raises:
        UnknownNameError: there is no such way; the message offers close matches.
    """
    name = usual if asked == AUTO else asked
    AUGMENTATIONS[name]
    return name


def _crop(size: tuple[int, int], padding: float) -> list[nn.Module]:
    borders = [max(1, round(padding * pixels)) for pixels in reversed(size)]
    return [v2.RandomCrop(size, padding=borders)]


def _crop_flip(size: tuple[int, int], padding: float) -> list[nn.Module]:
    return [*_crop(size, padding), v2.RandomHorizontalFlip()]


def _resize_crop_flip(size: tuple[int, int], padding: float) -> list[nn.Module]:
    enlarged = [round(pixels * RESIZE_RATIO) for pixels in size]
    return [
        v2.Resize(enlarged, antialias=True),
        v2.RandomCrop(size),
        v2.RandomHorizontalFlip(),
    ]


def _random_resized_crop_flip(size: tuple[int, int], padding: float) -> list[nn.Module]:
    return [v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()]


AUGMENTATIONS.register("none")(Augmentation("images as they are", lambda size, padding: []))
AUGMENTATIONS.register("crop")(Augmentation("moved, with zeros where nothing was", _crop))
AUGMENTATIONS.register("crop-flip")(
    Augmentation("moved and mirrored: CIFAR's standard, by 4 of 32 pixels", _crop_flip)
)
AUGMENTATIONS.register("resize-crop-flip")(
    Augmentation(
        "resized to 256/224 of the size, cropped, mirrored: the paper's for ImageNet",
        _resize_crop_flip,
        resizes=True,
    )
)
AUGMENTATIONS.register("random-resized-crop-flip")(
    Augmentation(
        "any part of 8 to 100 %, resized, mirrored: what is usual on ImageNet",
        _random_resized_crop_flip,
        resizes=True,
    )
)
