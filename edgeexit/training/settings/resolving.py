"""Fill in a configuration's open fields from the images, the device and the model."""

from __future__ import annotations

from dataclasses import replace

from edgeexit.data import ImageData
from edgeexit.data.registry import has_any_size
from edgeexit.models.attach import AUTO
from edgeexit.models.factories import ModelSource
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.registry import backbone_entry
from edgeexit.models.spec import OWN
from edgeexit.training.settings.config import TrainConfig


def resolve_input_size(config: TrainConfig, model: ModelSource | None) -> TrainConfig:
    """Return ``config`` with the network's input size if the data set has no fixed one.

    A model without exits yet has no known input size either; then it stays open.

    Raises:
        UnknownNameError: there is no such backbone.
    """
    if config.data.input_size is not None or not has_any_size(config.data.name):
        return config
    if isinstance(model, MultiExitNet):
        size = model.spec.input_size
    elif model is None:
        size = backbone_entry(config.backbone).input_size
    else:
        return config
    size = config.data.size_or(size)
    return replace(config, data=replace(config.data, input_size=size, channels=None))


def resolve(
    config: TrainConfig, data: ImageData, device: str, model: ModelSource | None
) -> TrainConfig:
    """Return ``config`` with all open fields filled in.

    Args:
        config: with an input size, unless ``model`` has no exits yet.
        data: the data of ``config.data``.
        device: the device that ``config.device`` resolved to.
        model: the model of a backbone that is not registered.
    """
    outputs = _outputs(config, model)
    return replace(
        config,
        branches=OWN if outputs else config.branches,
        exits=_exits(config, model),
        outputs=outputs,
        data=replace(
            config.data,
            input_size=data.preprocessing.input_size,
            augmentation=data.augmentation,
            fingerprint=None,  # of another network, whose data these are
        ),
        device=device,
        channels_last=config.is_registered
        if config.channels_last is None
        else config.channels_last,
    )


def _exits(config: TrainConfig, model: ModelSource | None) -> str:
    """Return ``config.exits`` with ``auto`` and empty texts filled in."""
    if isinstance(model, MultiExitNet):
        points = ",".join(model.spec.points)
        return points if config.exits in ("", AUTO) else config.exits
    if config.outputs:
        return ""
    points = ",".join(point.strip() for point in config.exits.split(","))
    return points or ("" if config.is_registered else AUTO)


def _outputs(config: TrainConfig, model: ModelSource | None) -> str:
    """Return ``config.outputs`` with ``auto`` and empty texts filled in."""
    if isinstance(model, MultiExitNet) and config.outputs in ("", AUTO):
        return ",".join(model.spec.outputs)
    return ",".join(name.strip() for name in config.outputs.split(","))
