"""The teacher DK: a pretrained plain network (Section V-D)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeexit.data import ImageData
from edgeexit.errors import CheckpointError, SpecError, prefixed
from edgeexit.fitting import class_differences, image_differences
from edgeexit.models.factories import ModelSource
from edgeexit.models.multi_exit import MultiExitNet, make_spec
from edgeexit.models.registry import pretrained_loader
from edgeexit.models.spec import FINAL
from edgeexit.training.checkpoint import Checkpoint, load_checkpoint, weights_digest
from edgeexit.training.settings.config import TrainConfig

PRETRAINED = "pretrained"


class DarkKnowledge(nn.Module):
    """A frozen network whose final exit is the teacher.

    Args:
        net: the network; it is frozen and put into evaluation mode.
        source: description of its weights' origin.
    """

    reads_exits = False

    def __init__(self, net: MultiExitNet, source: str) -> None:
        super().__init__()
        self.net = net.eval().requires_grad_(False)
        self.source = source
        self.digest = weights_digest(net.state_dict())

    def forward(self, images: Tensor, logits: Mapping[str, Tensor]) -> Tensor:
        """Map images (N, C, H, W) to the teacher's logits (N, K); ``logits`` are not used."""
        with torch.no_grad():
            return self.net.logits(images, (FINAL,))[FINAL]


def load_dark_knowledge(
    config: TrainConfig, data: ImageData, model: ModelSource | None
) -> DarkKnowledge:
    """Return the teacher that ``config.teacher`` names.

    Args:
        config: ``teacher`` is a checkpoint's path, ``pretrained`` or ``pretrained:NAME``.
        data: the training data.
        model: the user's model or its factory, for a teacher that is not registered; a
            checkpoint does not contain its code.

    Raises:
        SpecError: no teacher is named, or its classes or its preprocessing differ from ``data``.
        CheckpointError, UnknownNameError, DataError: it cannot be loaded.
    """
    if not config.teacher:
        raise SpecError(
            f"--distill {config.distill} needs a trained plain backbone: name its checkpoint with "
            "--teacher, or use public weights with --teacher pretrained"
        )
    if config.teacher.partition(":")[0] == PRETRAINED:
        return _public(config, data)
    path = Path(config.teacher)
    with prefixed("--teacher ", CheckpointError):
        checkpoint = load_checkpoint(path)
    _check_fits(path, checkpoint, data)
    source = _own_copy(model) if not checkpoint.spec.is_registered else None
    named = class_differences(data.class_names, checkpoint.class_names)
    origin = f"{path}: expected {named[0]}; classes are compared by number" if named else str(path)
    return DarkKnowledge(checkpoint.build(source), origin)


def _public(config: TrainConfig, data: ImageData) -> DarkKnowledge:
    name = config.teacher.partition(":")[2] or config.backbone
    load = pretrained_loader(name, "give --teacher a checkpoint")
    classes = len(data.class_names)
    net = MultiExitNet(make_spec(name, "none", classes, data.preprocessing.input_size))
    weights = load(net.backbone)
    if weights.new:
        raise SpecError(
            f"--teacher {config.teacher}: the classes of {weights.source} are not the {classes} of "
            "the data; train a plain backbone on it and give that checkpoint"
        )
    return DarkKnowledge(net, weights.source)


def _check_fits(path: Path, checkpoint: Checkpoint, data: ImageData) -> None:
    ours, theirs = data.class_names, checkpoint.class_names
    different = image_differences(data.preprocessing, checkpoint.preprocessing)
    if len(ours) != len(theirs):
        different += class_differences(ours, theirs)
    if different:
        raise SpecError(
            f"--teacher {path}: expected {'; '.join(different)}: a teacher gets the same images as "
            "the exits; train it on the same data set and input size"
        )


def _own_copy(model: ModelSource | None) -> ModelSource | None:
    """Return a model source that shares no weights with the trained network."""
    if isinstance(model, MultiExitNet):
        raise CheckpointError(
            "a teacher from the user's own code cannot be built from a network with exits: pass "
            "the factory to train(model=...)"
        )
    return copy.deepcopy(model) if isinstance(model, nn.Module) else model
