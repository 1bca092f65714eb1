"""The layers of multi-scale dense networks (MSDNet; Huang et al., ICLR 2018).

https://arxiv.org/abs/1703.09844, Section 4. A layer reads and writes one feature map per scale,
finest first; each scale has half the resolution of the one before. The *factor* f of a scale is
its width relative to the finest: if the finest has n channels, the scale has f * n.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def convolution(
    in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1
) -> nn.Sequential:
    """Return convolution, batch norm and ReLU: (N, in, H, W) to (N, out, ceil(H / stride), ...)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def stem_for_large_images(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return ResNet's stem: (N, in, H, W) to (N, out, H / 4, W / 4).

    Its convolution has a bias, so that the reference's weights can be loaded.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=7, stride=2, padding=3),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
    )


class Stem(nn.Module):
    """The first layer: a convolution of stride 2 makes each scale from the next finer one."""

    def __init__(self, finest: nn.Module, channels: Sequence[int]) -> None:
        super().__init__()
        coarser = (convolution(before, after, stride=2) for before, after in pairwise(channels))
        self.scales = nn.ModuleList([finest, *coarser])

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """Map a list of the images only, (N, C, H, W), to one feature map per scale."""
        outputs: list[Tensor] = []
        for scale in self.scales:
            outputs.append(scale(outputs[-1] if outputs else inputs[0]))
        return outputs


class _Growth(nn.Module):
    """The channels that a dense layer adds to one scale, from the scale and the next finer one.

    If there is a finer one, each contributes half. Both pass through a 1x1 bottleneck whose width
    is at most the source's factor times the number of channels it adds.

    Args:
        base: channels of the finest scale, n.
        growth: channels that the layer adds to the finest scale.
        finer: the finer scale's factor; None for the finest scale of the network.
        factor: the factor of this scale.
    """

    def __init__(self, base: int, growth: int, finer: int | None, factor: int) -> None:
        super().__init__()
        added = growth * factor
        self.down: nn.Module | None = None
        if finer is not None:
            added //= 2
            self.down = self._bottleneck(base * finer, added, finer, stride=2)
        self.same = self._bottleneck(base * factor, added, factor, stride=1)

    @staticmethod
    def _bottleneck(in_channels: int, added: int, factor: int, stride: int) -> nn.Sequential:
        width = min(in_channels, factor * added)
        return nn.Sequential(
            *convolution(in_channels, width, kernel=1), *convolution(width, added, stride=stride)
        )

    def forward(self, same: Tensor, finer: Tensor | None) -> Tensor:
        """Map (N, n * factor, h, w) to (N, (n + growth) * factor, h, w)."""
        from_finer = [] if self.down is None else [self.down(finer)]
        return torch.cat([same, *from_finer, self.same(same)], dim=1)


class DenseLayer(nn.Module):
    """Adds channels to every scale, made from the scale itself and the next finer one.

    Args:
        base: channels of the finest scale at the input, n.
        growth: channels that are added to the finest scale.
        factors: the factor of each scale at the input.
        drops: whether the finest scale is read but not returned.
    """

    def __init__(self, base: int, growth: int, factors: Sequence[int], drops: bool) -> None:
        super().__init__()
        self.first = int(drops)
        finer = [None, *factors[:-1]]
        self.scales = nn.ModuleList(
            _Growth(base, growth, finer[scale], factors[scale])
            for scale in range(self.first, len(factors))
        )

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """Map one feature map per scale, (N, n * f, h, w), to (N, (n + growth) * f, h, w)."""
        finer = [None, *inputs[:-1]]
        return [
            scale(inputs[number], finer[number])
            for number, scale in enumerate(self.scales, start=self.first)
        ]


class Transition(nn.Module):
    """1x1 convolutions that reduce the channels of every scale: the paper's "compression"."""

    def __init__(self, base: int, reduced: int, factors: Sequence[int]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            convolution(base * factor, reduced * factor, kernel=1) for factor in factors
        )

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """Map (N, base * f, h, w) to (N, reduced * f, h, w) at every scale."""
        return [scale(features) for scale, features in zip(self.scales, inputs, strict=True)]


def classifier(channels: int, width: int, num_classes: int) -> nn.Sequential:
    """Return MSDNet's classifier: two 3x3 convolutions of stride 2, pooling, a linear layer.

    The reference pools 2x2 features with a 2x2 window. Global pooling is the same for them and maps
    features (N, channels, h, w) of any size to logits (N, num_classes).
    """
    return nn.Sequential(
        OrderedDict(
            conv1=convolution(channels, width, stride=2),
            conv2=convolution(width, width, stride=2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            linear=nn.Linear(width, num_classes),
        )
    )
