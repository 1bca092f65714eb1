"""Augmentations of training images by name. Their steps map uint8 images to uint8 images.

To add one, register an :class:`Augmentation` in :data:`AUGMENTATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torchvision.transforms import v2

from edgeexit.registry import Registry

AUTO = "auto"
PADDING = 4 / 32
"""Largest shift of an image as a share of its size, as on CIFAR (Section V)."""

RESIZE_RATIO = 256 / 224
"""Size of an image before cropping relative to the crop, as on ImageNet (Section V)."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """An augmentation of training images.

    Attributes:
        steps: returns the steps, given the output (height, width) and the largest shift as a share
            of it.
        resizes: whether the steps accept images of any size; otherwise images have the output
            size before.
    """

    steps: Callable[[tuple[int, int], float], list[nn.Module]]
    resizes: bool = False


AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation")


def resolve_augmentation(asked: str, usual: str) -> str:
    """Return ``asked``, or the data set's ``usual`` augmentation if that is ``auto``.

    Raises:
        UnknownNameError: no augmentation has that name; the message suggests close matches.
    """
    name = usual if asked == AUTO else asked
    AUGMENTATIONS[name]
    return name


def _crop(size: tuple[int, int], padding: float) -> list[nn.Module]:
    """Shift images, padded with zeros."""
    borders = [max(1, round(padding * pixels)) for pixels in reversed(size)]
    return [v2.RandomCrop(size, padding=borders)]


def _crop_flip(size: tuple[int, int], padding: float) -> list[nn.Module]:
    """Shift images by up to 4 of 32 pixels and mirror them: CIFAR's standard."""
    return [*_crop(size, padding), v2.RandomHorizontalFlip()]


def _resize_crop_flip(size: tuple[int, int], padding: float) -> list[nn.Module]:
    """Resize images to 256/224 of the size, crop and mirror them: the paper's for ImageNet."""
    enlarged = [round(pixels * RESIZE_RATIO) for pixels in size]
    return [
        v2.Resize(enlarged, antialias=True),
        v2.RandomCrop(size),
        v2.RandomHorizontalFlip(),
    ]


def _random_resized_crop_flip(size: tuple[int, int], padding: float) -> list[nn.Module]:
    """Resize a random part of 8 to 100 % and mirror it: the standard for ImageNet."""
    return [v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()]


AUGMENTATIONS.register("none")(Augmentation(lambda size, padding: []))
AUGMENTATIONS.register("crop")(Augmentation(_crop))
AUGMENTATIONS.register("crop-flip")(Augmentation(_crop_flip))
AUGMENTATIONS.register("resize-crop-flip")(Augmentation(_resize_crop_flip, resizes=True))
AUGMENTATIONS.register("random-resized-crop-flip")(
    Augmentation(_random_resized_crop_flip, resizes=True)
)
