"""MobileNetV2 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381), from torchvision's modules.

For 224x224 images, branches are at the ends of the 56x56, 28x28 and 14x14 stages, with 24, 32 and
96 channels. ``mobilenet_v2_cifar`` is for 32x32 images: the stem and the first strided block keep
the resolution, so that the same four stages run at 32x32, 16x16, 8x8 and 4x4.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn
from torchvision.models import MobileNetV2

from edgeexit.models.backbone import Backbone, chained
from edgeexit.models.registry import register_backbone
from edgeexit.models.torchvision_networks import register_network, stage_bodies

CIFAR_BLOCKS = [  # Table 2 of the MobileNetV2 paper: expansion, channels, blocks, stride
    [1, 16, 1, 1],
    [6, 24, 2, 1],  # 2 on ImageNet
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
]
# Names in torchvision's ``features``: the last block of 24, of 32 and of 96 channels, and the
# last convolution. The stride is in the block after each of the first three.
LAST_OF_STAGE = ("3", "6", "13", "18")


def _cut(network: nn.Module) -> Backbone:
    modules = dict(network.named_children())
    bodies = stage_bodies(dict(modules["features"].named_children()), LAST_OF_STAGE)
    classifier = nn.Sequential(
        OrderedDict(
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=modules["classifier"],
        )
    )
    return Backbone(chained(bodies), classifier)


register_network("mobilenet_v2", "MobileNets", _cut)


@register_backbone(input_size=(3, 32, 32))
def mobilenet_v2_cifar(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    network = MobileNetV2(num_classes, inverted_residual_setting=CIFAR_BLOCKS)
    stem = nn.Conv2d(input_size[0], 32, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out")  # as torchvision does
    network.features[0][0] = stem
    return _cut(network)
