"""torchvision's ResNets for images of 224x224 and any other size, with pretrained weights.

Stage m is ``layer m`` of torchvision's module; stage 1 includes the stem.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from edgeexit.models.backbone import Backbone, chained
from edgeexit.models.torchvision_networks import register_network


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
    return Backbone(chained(bodies), classifier)


register_network("resnet18", "ResNets", _cut)
register_network("resnet34", "ResNets", _cut)
register_network("resnet50", "ResNets", _cut)
