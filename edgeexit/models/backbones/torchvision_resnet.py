"""torchvision's ResNets for images of 224x224 and any other size, with pretrained weights.

Stage m is ``layer m`` of torchvision's module; stage 1 includes the stem.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from edgeexit.models.backbone import Backbone, chained
from edgeexit.models.registry import register_backbone
from edgeexit.models.torchvision_networks import INPUT_SIZE, TorchvisionFamily


def _cut(network: nn.Module) -> Backbone:
    modules = dict(network.named_children())
    stem = OrderedDict((name, modules[name]) for name in ("conv1", "bn1", "relu", "maxpool"))
    bodies: dict[str, nn.Module] = {
        "stage1": nn.Sequential(OrderedDict(**stem, layer1=modules["layer1"])),
        "stage2": modules["layer2"],
        "stage3": modules["layer3"],
        "stage4": modules["layer4"],
    }
    classifier = nn.Sequential(
        OrderedDict(avgpool=modules["avgpool"], flatten=nn.Flatten(), fc=modules["fc"])
    )
    return Backbone(chained(bodies), classifier, exit_stages=("stage1", "stage2", "stage3"))


FAMILY = TorchvisionFamily("ResNets", _cut)


@register_backbone(input_size=INPUT_SIZE, pretrained=FAMILY.pretrained("resnet18"))
def resnet18(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    return FAMILY.build("resnet18", num_classes, input_size)


@register_backbone(input_size=INPUT_SIZE, pretrained=FAMILY.pretrained("resnet34"))
def resnet34(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    return FAMILY.build("resnet34", num_classes, input_size)


@register_backbone(input_size=INPUT_SIZE, pretrained=FAMILY.pretrained("resnet50"))
def resnet50(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    return FAMILY.build("resnet50", num_classes, input_size)
