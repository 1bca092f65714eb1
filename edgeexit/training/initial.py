"""What a network starts from: new weights, public ones, or a checkpoint's."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from edgeexit.errors import CheckpointError, SpecError
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.registry import pretrained_loader
from edgeexit.models.weights import LoadedWeights, fill_backbone
from edgeexit.training.checkpoint import Checkpoint, load_checkpoint
from edgeexit.training.config import TrainConfig

__all__ = ["fill_from_checkpoint", "load_initial_weights"]

_OWNER = re.compile(r"^(?:stages\.[^.]+\.body|classifier)\.")
"""In front of a weight's name in the model that was cut into stages."""


def load_initial_weights(net: MultiExitNet, config: TrainConfig) -> LoadedWeights | None:
    """Fill the backbone of ``net`` as ``config`` asks for; return with what, None for nothing.

    Branches always start from new weights.

    Raises:
        SpecError: there are no public weights, or those of another backbone.
        DataError, CheckpointError: they could not be fetched or read.
    """
    if config.pretrained:
        return pretrained_loader(config.backbone, "leave --pretrained out")(net.backbone)
    if config.init:
        return _from_checkpoint(net, Path(config.init))
    return None


def _from_checkpoint(net: MultiExitNet, path: Path) -> LoadedWeights:
    try:
        checkpoint = load_checkpoint(path)
    except CheckpointError as error:
        raise CheckpointError(f"--init {error}") from error
    ours, theirs = net.spec.backbone, checkpoint.spec.backbone
    if ours != theirs:
        raise SpecError(
            f"--init {path}: expected a checkpoint of the backbone {ours}, got one of {theirs}"
        )
    return fill_from_checkpoint(net, checkpoint, str(path))


def fill_from_checkpoint(net: MultiExitNet, checkpoint: Checkpoint, source: str) -> LoadedWeights:
    """Fill the backbone of ``net`` with that of a checkpoint of the same backbone.

    Args:
        net: is changed; its branches are not.
        checkpoint: a model of the user's own code may have been cut elsewhere in it.
        source: where it comes from, in a phrase.

    Raises:
        SpecError: the weights do not fit.
    """
    weights = _backbone_weights(checkpoint)
    if not net.spec.is_registered:  # it may have been cut elsewhere, with or without exits
        names = {_OWNER.sub("", name): name for name in net.backbone.state_dict()}
        weights = {
            names[own]: value
            for name, value in weights.items()
            if (own := _OWNER.sub("", name)) in names
        }
    return fill_backbone(net.backbone, weights, source)


def _backbone_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    prefix = "backbone."
    return {
        name.removeprefix(prefix): value
        for name, value in checkpoint.weights.items()
        if name.startswith(prefix)
    }
