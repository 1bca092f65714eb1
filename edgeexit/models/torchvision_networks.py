"""torchvision's classifiers as backbones: built, cut into stages, loaded with its weights.

A family defines how its networks are cut. Building them and loading public weights is the same
for all families. Within a stage, modules keep their names of torchvision.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pickle import UnpicklingError
from typing import Any

import torch
import torchvision
from torch import nn

from edgeexit.errors import DataError, SpecError
from edgeexit.models.backbone import Backbone
from edgeexit.models.registry import register_backbone
from edgeexit.models.weights.fitting import LoadedWeights, fill_backbone

PRETRAINED_WEIGHTS = "IMAGENET1K_V1"  # what the paper starts from


def register_network(
    name: str, title: str, cut: Callable[[nn.Module], Backbone], **options: Any
) -> None:
    """Register torchvision's network ``name`` and its ``IMAGENET1K_V1`` weights.

    Args:
        name: its name, also as a backbone.
        title: its family in messages, in the plural.
        cut: makes the backbone from torchvision's network; the two share their modules.
        options: further arguments of torchvision's builder besides the number of classes.
    """

    def load(backbone: Backbone) -> LoadedWeights:
        weights = cut(_fetch(name)).state_dict()
        return fill_backbone(backbone, weights, f"torchvision's {name} {PRETRAINED_WEIGHTS}")

    @register_backbone(name, input_size=(3, 224, 224), pretrained=load)
    def build(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
        if input_size[0] != 3:
            raise SpecError(f"torchvision's {title} read 3 channels, got {input_size[0]}")
        network = torchvision.models.get_model(
            name, weights=None, num_classes=num_classes, **options
        )
        names = {id(value): key for key, value in network.state_dict(keep_vars=True).items()}
        backbone = cut(network)
        backbone.original_names = {
            names[id(value)]: key for key, value in backbone.state_dict(keep_vars=True).items()
        }
        return backbone


def _fetch(name: str) -> nn.Module:
    """Return torchvision's network ``name`` with its public weights.

    Raises:
        DataError: the weights could not be downloaded, or the file is damaged.
    """
    try:
        network: nn.Module = torchvision.models.get_model(name, weights=PRETRAINED_WEIGHTS)
    except OSError as error:  # includes URLError
        raise DataError(
            f"pretrained {name}: torchvision could not fetch its weights ({error}); put the "
            f"file into {torch.hub.get_dir()}/checkpoints or do without them"
        ) from error
    except (RuntimeError, EOFError, UnpicklingError) as error:  # torch.load, and the hash check
        raise DataError(
            f"pretrained {name}: torchvision's weights in {torch.hub.get_dir()}/checkpoints "
            "are damaged; delete the file and try again"
        ) from error
    return network


def stage_bodies(modules: Mapping[str, nn.Module], last: Sequence[str]) -> dict[str, nn.Module]:
    """Group ``modules``, which run one after another, into ``stage1``, ``stage2``, ...

    Args:
        modules: all modules in order by name; they keep their names inside the stages.
        last: the name of the last module of each stage, in order.
    """
    bodies: dict[str, nn.Module] = {}
    names = list(modules)
    start = 0
    for number, name in enumerate(last, start=1):
        end = names.index(name, start) + 1
        bodies[f"stage{number}"] = nn.Sequential(
            OrderedDict((inside, modules[inside]) for inside in names[start:end])
        )
        start = end
    assert start == len(names), f"no stage has {names[start:]}"
    return bodies
