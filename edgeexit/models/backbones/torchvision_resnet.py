"""torchvision's ResNets for images of 224x224 and any other size, with its pretrained weights.

Stage m is ``layer m`` of torchvision's module, the stem joined to the first; the modules keep
torchvision's own names inside each stage.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError

import torch
import torchvision
from torch import nn

from edgeexit.errors import DataError, SpecError
from edgeexit.models.backbone import Backbone, chained
from edgeexit.models.registry import register_backbone

INPUT_SIZE = (3, 224, 224)
PRETRAINED_WEIGHTS = "IMAGENET1K_V1"


def _split(network: nn.Module, input_size: tuple[int, int, int]) -> Backbone:
    if input_size[0] != 3:
        raise SpecError(f"torchvision's ResNets read 3 channels, got {input_size[0]}")
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


def _pretrained(name: str) -> Callable[[Backbone], str]:
    """Return a loader of the torchvision weights that the paper starts from (IMAGENET1K_V1)."""

    def load(backbone: Backbone) -> str:
        try:
            source = torchvision.models.get_model(name, weights=PRETRAINED_WEIGHTS)
        except OSError as error:  # URLError is one
            raise DataError(
                f"pretrained {name}: torchvision could not fetch its weights ({error}); put the "
                f"file into {torch.hub.get_dir()}/checkpoints or train without --pretrained"
            ) from error
        except (RuntimeError, EOFError, UnpicklingError) as error:  # torch.load, and the hash check
            raise DataError(
                f"pretrained {name}: torchvision's weights in {torch.hub.get_dir()}/checkpoints "
                "are damaged; delete the file and try again"
            ) from error
        weights = _split(source, INPUT_SIZE).state_dict()
        own = backbone.state_dict()
        fitting = {key: value for key, value in weights.items() if value.shape == own[key].shape}
        backbone.load_state_dict(fitting, strict=False)
        new = [key for key in own if key not in fitting]
        left_out = f"; new, of another shape: {', '.join(new)}" if new else ""
        return f"torchvision's {name} {PRETRAINED_WEIGHTS}{left_out}"

    return load


def _network(name: str, num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    network = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
    return _split(network, input_size)


@register_backbone(input_size=INPUT_SIZE, pretrained=_pretrained("resnet18"))
def resnet18(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    return _network("resnet18", num_classes, input_size)


@register_backbone(input_size=INPUT_SIZE, pretrained=_pretrained("resnet34"))
def resnet34(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    return _network("resnet34", num_classes, input_size)


@register_backbone(input_size=INPUT_SIZE, pretrained=_pretrained("resnet50"))
def resnet50(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    return _network("resnet50", num_classes, input_size)
