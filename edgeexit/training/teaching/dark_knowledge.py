"""The teacher DK: a plain network that was trained before (Section V-D)."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeexit.data import ImageData
from edgeexit.errors import CheckpointError, SpecError
from edgeexit.fitting import class_differences, image_differences
from edgeexit.models.factories import ModelSource
from edgeexit.models.multi_exit import MultiExitNet, make_spec
from edgeexit.models.registry import pretrained_loader
from edgeexit.models.spec import FINAL
from edgeexit.training.checkpoint import Checkpoint, load_checkpoint
from edgeexit.training.settings.config import TrainConfig

PRETRAINED = "pretrained"


class DarkKnowledge(nn.Module):
    """A network whose final exit teaches; it is never trained.

    Args:
        net: the network, in evaluation mode.
        source: where its weights come from, in a phrase.
    """

    reads_exits = False

    def __init__(self, net: MultiExitNet, source: str) -> None:
        super().__init__()
        self.net = net.eval().requires_grad_(False)
        self.source = source
        self.digest = fingerprint(net)

    def forward(self, images: Tensor, logits: Mapping[str, Tensor]) -> Tensor:
        """Map images (N, C, H, W) to the teacher's logits, (N, K), whatever the exits' are."""
        with torch.no_grad():
            return self.net.logits(images, (FINAL,))[FINAL]


def load_dark_knowledge(
    config: TrainConfig, data: ImageData, model: ModelSource | None
) -> DarkKnowledge:
    """Return the teacher that ``config.teacher`` names.

    Args:
        config: ``teacher`` is a checkpoint's path, ``pretrained`` or ``pretrained:NAME``.
        data: what is taught on.
        model: what a teacher of the same code, which no checkpoint holds, is built from.

    Raises:
        SpecError: it is not named, has other classes, or reads other images than ``data``'s.
        CheckpointError, UnknownNameError, DataError: it cannot be loaded.
    """
    if not config.teacher:
        raise SpecError(
            f"--distill {config.distill} needs a trained plain backbone: name its checkpoint with "
            "--teacher, or take public weights with --teacher pretrained"
        )
    if config.teacher.partition(":")[0] == PRETRAINED:
        return _public(config, data)
    path = Path(config.teacher)
    try:
        checkpoint = load_checkpoint(path)
    except CheckpointError as error:
        raise CheckpointError(f"--teacher {error}") from error
    _check_fits(path, checkpoint, data)
    source = _own_copy(model) if not checkpoint.spec.is_registered else None
    return DarkKnowledge(checkpoint.build(source), str(path))


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
            f"--teacher {path}: expected {'; '.join(different)}: a teacher reads the images that "
            "it teaches on; train it on the same data set and input size"
        )


def _own_copy(model: ModelSource | None) -> ModelSource | None:
    """Return the source of a network that shares no weights with the one that is trained."""
    if isinstance(model, MultiExitNet):
        raise CheckpointError(
            "a teacher of the user's own code cannot be built from a network with exits: pass "
            "train(model=...) the factory"
        )
    return copy.deepcopy(model) if isinstance(model, nn.Module) else model


def fingerprint(net: nn.Module) -> str:
    """Return a fingerprint of all weights: what tells one teacher from another."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
