"""The network of a run: a registered backbone, or a user's model with exits attached."""

from __future__ import annotations

from edgeexit.data import ImageData
from edgeexit.errors import SpecError, TrainingError
from edgeexit.models.attach import attach_exits
from edgeexit.models.factories import ModelSource, create_model, model_option
from edgeexit.models.multi_exit import MultiExitNet, make_spec
from edgeexit.models.outputs import from_outputs, network_of
from edgeexit.models.spec import OWN, ModelSpec
from edgeexit.training.settings.config import TrainConfig


def check_model(config: TrainConfig, model: ModelSource | None, *, resume: bool) -> None:
    """Check that a model is given if and only if it is needed, before anything is loaded.

    Raises:
        TrainingError: the backbone is not registered and there is no model, or the reverse.
        SpecError: public weights are requested, which only registered backbones have.
    """
    if model is None and not config.is_registered:
        action = "continue" if resume else "train"
        raise TrainingError(
            f"{config.backbone} is not registered and its code is not stored: {action} it "
            f"with {model_option(config.backbone)} (from Python: train(..., model=...))"
        )
    if model is not None and config.is_registered and not isinstance(model, MultiExitNet):
        raise TrainingError(
            f"backbone {config.backbone!r} is a registered one, but a model was given: omit "
            "model, or name the backbone package.module:factory"
        )
    if config.pretrained and model is not None:
        raise SpecError(
            f"--pretrained is for registered backbones: {config.backbone} has the weights "
            "that its factory gives it; omit --pretrained"
        )


def create_network(
    config: TrainConfig, data: ImageData, model: ModelSource | None, spec: ModelSpec | None
) -> MultiExitNet:
    """Build the network that a run trains.

    Args:
        config: resolved.
        data: supplies the classes and the input size.
        model: the model to attach exits to, or the network; None for a registered backbone.
        spec: spec of the resumed run, whose exits keep their places even if ``auto`` would now
            choose others; None for a new run.

    Raises:
        UnknownNameError, SpecError: there is no such network.
        TrainingError: ``model`` is a network that does not match ``config`` and ``data``.
    """
    num_classes, input_size = len(data.class_names), data.preprocessing.input_size
    if isinstance(model, MultiExitNet):
        _check_ready(model.spec, config, num_classes, input_size)
        return model
    if model is None:
        return MultiExitNet(make_spec(config.backbone, config.branches, num_classes, input_size))
    module = create_model(model, num_classes)
    if spec is not None:
        return network_of(module, spec)
    if config.outputs:
        return from_outputs(
            module,
            input_size=input_size,
            outputs=config.outputs,
            num_classes=num_classes,
            name=config.backbone,
        )
    return attach_exits(
        module,
        config.exits,
        branches=config.branches,
        input_size=input_size,
        num_classes=num_classes,
        name=config.backbone,
    )


def _check_ready(
    spec: ModelSpec, config: TrainConfig, num_classes: int, input_size: tuple[int, int, int]
) -> None:
    pairs = {
        "backbone": (config.backbone, spec.backbone),
        "branches": (config.branches, OWN if spec.outputs else spec.pattern),
        "exits": (config.exits, ",".join(spec.points)),
        "outputs": (config.outputs, ",".join(spec.outputs)),
        "classes of the data": (num_classes, spec.num_classes),
        "input size of the data": (input_size, spec.input_size),
    }
    different = [
        f"{what}: {expected}, got {got}"
        for what, (expected, got) in pairs.items()
        if expected != got
    ]
    if different:
        raise TrainingError(
            f"expected a network that agrees with the configuration ({'; '.join(different)}): "
            "change one of them"
        )
