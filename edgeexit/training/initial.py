"""Initial weights of a network: random, public pretrained ones, or those of a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from edgeexit.errors import CheckpointError, SpecError, prefixed
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.registry import pretrained_loader
from edgeexit.models.weights.fitting import (
    LoadedWeights,
    fill_backbone,
    fit_weights,
    load_weights,
    own_weights,
)
from edgeexit.training.checkpoint import Checkpoint, is_checkpoint, load_checkpoint
from edgeexit.training.settings.config import TrainConfig

_OWNER = re.compile(r"^(?:stages\.[^.]+\.body|classifier)\.")
"""Prefix that cutting a model into stages adds to its weights' names."""


def load_initial_weights(net: MultiExitNet, config: TrainConfig) -> LoadedWeights | None:
    """Load the backbone's initial weights as ``config`` says; return what was loaded, or None.

    Branches always start from random weights, except those that came with the model.

    Raises:
        SpecError: there are no public weights, or they are those of another backbone.
        DataError, CheckpointError: they could not be fetched or read.
    """
    if config.pretrained:
        return pretrained_loader(config.backbone, "omit --pretrained")(net.backbone)
    if not config.init:
        return None
    with prefixed("--init ", CheckpointError):
        if is_checkpoint(Path(config.init)):
            return _from_checkpoint(net, config)
        return _from_elsewhere(_named_as_elsewhere(net), config)


def load_model_weights(model: nn.Module, config: TrainConfig) -> LoadedWeights | None:
    """Load weights that another program wrote into a model not yet cut into stages, if any.

    Raises:
        CheckpointError: they cannot be read, or do not fit.
    """
    with prefixed("--init ", CheckpointError):
        if not config.init or is_checkpoint(Path(config.init)):
            return None
        return _from_elsewhere(own_weights(model), config)


def _from_elsewhere(weights: Mapping[str, Tensor], config: TrainConfig) -> LoadedWeights:
    """Fill ``weights``, keyed by the names expected in the file, from a foreign weights file."""
    return load_weights(
        weights,
        Path(config.init),
        what=config.backbone,
        key=config.weights_key,
        new_classifier=config.new_classifier,
    )


def _named_as_elsewhere(net: MultiExitNet) -> dict[str, Tensor]:
    """Return the weights of a network by the names that they have in the original model."""
    backbone = own_weights(net.backbone)
    original = net.backbone.original_names
    if original:
        return {name: backbone[own] for name, own in original.items()}
    named = {_OWNER.sub("", name): value for name, value in backbone.items()}
    if net.spec.outputs:
        for name, value in own_weights(net.branches).items():
            named[name.partition(".")[2]] = value
    # if stages share inner names, the prefixes are needed to tell the weights apart
    return named if net.spec.outputs or len(named) == len(backbone) else backbone


def _from_checkpoint(net: MultiExitNet, config: TrainConfig) -> LoadedWeights:
    path = Path(config.init)
    if config.weights_key:
        raise CheckpointError(
            f"{path} is a checkpoint of edgeexit, which has only one network: omit --weights-key"
        )
    checkpoint = load_checkpoint(path)
    ours, theirs = net.spec, checkpoint.spec
    if ours.backbone != theirs.backbone:
        raise SpecError(
            f"--init {path}: expected a checkpoint of the backbone {ours.backbone}, got one of "
            f"{theirs.backbone}"
        )
    if not ours.outputs or ours.outputs != theirs.outputs:
        return fill_from_checkpoint(net, checkpoint, str(path))
    loaded = fit_weights(  # the network came with its branches
        own_weights(net),
        checkpoint.weights,
        path,
        what=config.backbone,
        new_classifier=config.new_classifier,
    )
    return LoadedWeights(f"{path}, branches too", loaded.new)


def fill_from_checkpoint(net: MultiExitNet, checkpoint: Checkpoint, source: str) -> LoadedWeights:
    """Fill the backbone of ``net`` from a checkpoint of the same backbone.

    Args:
        net: its backbone is changed in place, its branches are not.
        checkpoint: a user's own model may have its exits at other points in it.
        source: description of the weights' origin.

    Raises:
        SpecError: the weights do not fit.
    """
    prefix = "backbone."
    weights = {
        name.removeprefix(prefix): value
        for name, value in checkpoint.weights.items()
        if name.startswith(prefix)
    }
    if not net.spec.is_registered:  # it may be cut at other points, with or without exits
        names = {_OWNER.sub("", name): name for name in net.backbone.state_dict()}
        weights = {
            names[own]: value
            for name, value in weights.items()
            if (own := _OWNER.sub("", name)) in names
        }
    return fill_backbone(net.backbone, weights, source)
