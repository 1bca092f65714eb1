"""VGG-16 (Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556), of torchvision's modules.

Branches read the pooled features after the second, third and fourth pooling (Section III-A):
128x56x56, 256x28x28 and 512x14x14 for images of 224x224.

``vgg16_bn_cifar`` is the same stack of convolutions for 32x32 images, where the fifth pooling
leaves one pixel and one fully connected layer replaces the three. Its branches follow the same
poolings, since the paper counts them by stage and not by size: 128x8x8, 256x4x4 and 512x2x2.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from edgeexit.models.backbone import Backbone, chained
from edgeexit.models.layers.common import he_initialized, pooled_linear
from edgeexit.models.registry import register_backbone
from edgeexit.models.torchvision_networks import register_network, stage_bodies


def _stages(features: nn.Module) -> dict[str, nn.Module]:
    """Return the convolutions as four stages that end with poolings 2, 3, 4 and 5."""
    modules = dict(features.named_children())
    pools = [name for name, module in modules.items() if isinstance(module, nn.MaxPool2d)]
    return stage_bodies(modules, pools[1:])


def _cut(network: nn.Module) -> Backbone:
    modules = dict(network.named_children())
    classifier = nn.Sequential(
        OrderedDict(
            avgpool=modules["avgpool"], flatten=nn.Flatten(), classifier=modules["classifier"]
        )
    )
    return Backbone(chained(_stages(modules["features"])), classifier)


register_network("vgg16", "VGGs", _cut)
register_network("vgg16_bn", "VGGs", _cut)


@register_backbone(input_size=(3, 32, 32))
def vgg16_bn_cifar(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    features = make_layers(cfgs["D"], batch_norm=True)
    features[0] = nn.Conv2d(input_size[0], 64, 3, padding=1)  # torchvision's reads 3 channels
    backbone = Backbone(chained(_stages(features)), pooled_linear(512, num_classes))
    for module in features:
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            nn.init.zeros_(module.bias)  # as torchvision does
    return he_initialized(backbone)
