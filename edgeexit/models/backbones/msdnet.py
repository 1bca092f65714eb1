"""Multi-scale dense networks (MSDNet; Huang et al., ICLR 2018, https://arxiv.org/abs/1703.09844).

The two networks that the authors' PyTorch code (https://github.com/kalviny/MSDNet-PyTorch, commit
f654595) trains, with 7 exits on CIFAR-100 and 5 on ImageNet. Stage m is the network's block m. It
outputs one feature map per scale, coarsest last, as ``stage1_scale1``, ``stage1_scale2`` and so
on. Scale 1 is the finest; later stages drop the finest scales. Every exit reads the coarsest
scale, so ``exit_stages`` are all stages but the last, which precedes the network's own classifier.

Parameters and costs equal the reference's for every exit; no unused tensor is computed.
Weights have PyTorch's default initialization, as in the reference: its own rule visits only the
direct children of each block, which are whole layers, and never reaches a convolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from edgeexit.models.backbone import IMAGES, Backbone, Stage
from edgeexit.models.layers.msdnet import (
    DenseLayer,
    Stem,
    Transition,
    classifier,
    convolution,
    stem_for_large_images,
)
from edgeexit.models.registry import register_backbone

REDUCTION = 2  # a transition divides the channels by this


@dataclass(frozen=True, slots=True)
class Layout:
    """The dimensions of an MSDNet.

    Attributes:
        layers: dense layers of each block.
        channels: channels of the finest scale behind the stem.
        growth: channels that each dense layer adds to the finest scale.
        factors: width of each scale relative to the finest.
        large_images: the stem divides the resolution by four.
        classifier_width: channels inside the classifier; None for as many as its input has.
    """

    layers: tuple[int, ...]
    channels: int
    growth: int
    factors: tuple[int, ...]
    large_images: bool
    classifier_width: int | None

    def scales_after(self, layer: int) -> int:
        """Return the number of scales after a dense layer; layers count from 1 over all blocks.

        The layers are split into as many equal groups as there are scales. Each group but the
        first drops the finest remaining scale ("network reduction", Section 4).
        """
        group = math.ceil(sum(self.layers) / len(self.factors))
        return len(self.factors) - max(0, layer - 1) // group


CIFAR100 = Layout(
    layers=(4, 2, 2, 2, 2, 2, 2),
    channels=16,
    growth=6,
    factors=(1, 2, 4),
    large_images=False,
    classifier_width=128,
)
IMAGENET = Layout(
    layers=(4, 4, 4, 4, 4),
    channels=32,
    growth=16,
    factors=(1, 2, 4, 4),
    large_images=True,
    classifier_width=None,
)


class _Block(nn.Module):
    """Layers one after another, each on one feature map per scale."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Map one feature map per scale, or the images, to one per remaining scale."""
        scales = list(features)
        for layer in self.layers:
            scales = layer(scales)
        return tuple(scales)


def _stem(layout: Layout, image_channels: int) -> Stem:
    channels = [layout.channels * factor for factor in layout.factors]
    finest = stem_for_large_images if layout.large_images else convolution
    return Stem(finest(image_channels, channels[0]), channels)


def _blocks(layout: Layout, image_channels: int) -> Iterator[tuple[_Block, int, int]]:
    """Yield every block, its number of output scales, and the channels of the coarsest."""
    base, number = layout.channels, 0
    for count in layout.layers:
        layers: list[nn.Module] = [] if number else [_stem(layout, image_channels)]
        for _ in range(count):
            number += 1
            before, after = layout.scales_after(number - 1), layout.scales_after(number)
            factors, drops = layout.factors[-before:], after < before
            layers.append(DenseLayer(base, layout.growth, factors, drops))
            base += layout.growth
            if drops:
                layers.append(Transition(base, base // REDUCTION, factors[1:]))
                base //= REDUCTION
        yield _Block(layers), layout.scales_after(number), base * layout.factors[-1]


def msdnet(layout: Layout, num_classes: int, image_channels: int) -> Backbone:
    """Return the network of ``layout`` with new weights, for images (N, image_channels, H, W)."""
    stages: dict[str, Stage] = {}
    reads: tuple[str, ...] = (IMAGES,)
    coarsest = len(layout.factors)
    blocks = list(_blocks(layout, image_channels))
    for number, (block, scales, _) in enumerate(blocks, start=1):
        name = f"stage{number}"
        left = range(coarsest - scales + 1, coarsest + 1)
        writes = tuple(f"{name}_scale{scale}" for scale in left)
        stages[name] = Stage(block, reads, writes)
        reads = writes
    _, _, channels = blocks[-1]
    own = classifier(channels, layout.classifier_width or channels, num_classes)
    return Backbone(stages, own)


@register_backbone(input_size=(3, 32, 32))
def msdnet_cifar100(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    return msdnet(CIFAR100, num_classes, input_size[0])


@register_backbone(input_size=(3, 224, 224))
def msdnet_imagenet(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    return msdnet(IMAGENET, num_classes, input_size[0])
