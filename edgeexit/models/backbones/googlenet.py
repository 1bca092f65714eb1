"""GoogLeNet (Szegedy et al. 2015, https://arxiv.org/abs/1409.4842): torchvision's, and for CIFAR.

Branches read the pooled features at the end of a stage. For 224x224 images these are the ends of
the 56x56, 28x28 and 14x14 stages, as in torchvision's other networks: 192x28x28 after the second
pooling, 480x14x14 after the third and 832x7x7 after the fourth. The first decrease of the
resolution, by the first convolution and pooling, has no branch.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.googlenet import BasicConv2d
from torchvision.models.googlenet import Inception as TorchvisionInception

from edgeexit.models.backbone import Backbone, chained
from edgeexit.models.layers.common import he_initialized, pooled_linear
from edgeexit.models.registry import register_backbone
from edgeexit.models.torchvision_networks import register_network, stage_bodies


class InputTransform(nn.Module):
    """Converts images normalized with ImageNet's mean and std to mean and std of 0.5.

    torchvision's weights were ported from a network with that normalization. The offset cannot be
    folded into the first convolution, whose padding would no longer be zero. The values are
    constants and not buffers, which keeps the state dict that of torchvision.
    """

    MEAN = (0.485, 0.456, 0.406)
    STD = (0.229, 0.224, 0.225)

    def forward(self, images: Tensor) -> Tensor:
        channels = [
            images[:, number : number + 1] * (std / 0.5) + (mean - 0.5) / 0.5
            for number, (mean, std) in enumerate(zip(self.MEAN, self.STD, strict=True))
        ]
        return torch.cat(channels, dim=1)


def _cut(network: nn.Module) -> Backbone:
    """Cut torchvision's network; the input transform is part of stage 1, pretrained or not.

    A checkpoint need not record whether training started from torchvision's weights. With new
    weights, the transform only shifts and scales the images slightly.
    """
    modules = {name: child for name, child in network.named_children() if "aux" not in name}
    head = OrderedDict(
        avgpool=modules.pop("avgpool"),
        flatten=nn.Flatten(),
        dropout=modules.pop("dropout"),
        fc=modules.pop("fc"),
    )
    bodies = stage_bodies(
        {"transform_input": InputTransform(), **modules},
        ("maxpool2", "maxpool3", "maxpool4", "inception5b"),
    )
    return Backbone(chained(bodies), nn.Sequential(head))


register_network("googlenet", "GoogLeNets", _cut, aux_logits=False, init_weights=True)


class Inception(TorchvisionInception):
    """torchvision's Inception module with two 3x3 convolutions in place of the 5x5 one."""

    def __init__(
        self, in_channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int
    ) -> None:
        """Set the channels of each path; of two numbers, the first is the 1x1 reduction."""
        super().__init__(in_channels, one, *three, *five, pool)
        self.branch3 = nn.Sequential(
            BasicConv2d(in_channels, five[0], kernel_size=1),
            BasicConv2d(five[0], five[1], kernel_size=3, padding=1),
            BasicConv2d(five[1], five[1], kernel_size=3, padding=1),
        )


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, padding=1)


@register_backbone(input_size=(3, 32, 32))
def googlenet_cifar(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    """GoogLeNet for 32x32 images, as determined by the costs of Table III.

    A 3x3 convolution of 192 channels replaces the stem and its poolings. The branches read the
    pooled features, 480x16x16 and 832x8x8.
    """
    modules = {
        "conv": BasicConv2d(input_size[0], 192, kernel_size=3, padding=1),  # (N, 192, 32, 32)
        "inception3a": Inception(192, 64, (96, 128), (16, 32), 32),
        "inception3b": Inception(256, 128, (128, 192), (32, 96), 64),
        "maxpool3": _pool(),  # (N, 480, 16, 16)
        "inception4a": Inception(480, 192, (96, 208), (16, 48), 64),
        "inception4b": Inception(512, 160, (112, 224), (24, 64), 64),
        "inception4c": Inception(512, 128, (128, 256), (24, 64), 64),
        "inception4d": Inception(512, 112, (144, 288), (32, 64), 64),
        "inception4e": Inception(528, 256, (160, 320), (32, 128), 128),
        "maxpool4": _pool(),  # (N, 832, 8, 8)
        "inception5a": Inception(832, 256, (160, 320), (32, 128), 128),
        "inception5b": Inception(832, 384, (192, 384), (48, 128), 128),  # (N, 1024, 8, 8)
    }
    bodies = stage_bodies(modules, ("maxpool3", "maxpool4", "inception5b"))
    return he_initialized(Backbone(chained(bodies), pooled_linear(1024, num_classes)))
