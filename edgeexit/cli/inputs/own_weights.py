"""Reads a checkpoint, or weights for ``--model`` from another program, as a checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.inputs.samples import DataOptions, print_data
from edgeexit.cli.options import typed
from edgeexit.cli.options.fields import option
from edgeexit.cli.options.shared import (
    import_model,
    model_option,
    new_classifier_option,
    outputs_option,
    resize_option,
    std_option,
    weights_key_option,
)
from edgeexit.cli.terminal import print_notes

if TYPE_CHECKING:
    from edgeexit_runtime.images.preprocess import Preprocessing

    from edgeexit.models.factories import Factory
    from edgeexit.training.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """A network of the user's own, and what its weights from another program need."""

    model: str | None = model_option()
    outputs: str = outputs_option()
    weights_key: str = weights_key_option()
    new_classifier: bool = new_classifier_option()
    input_size: tuple[int, int] | None = option(
        "For weights from another program: pixels, 224 or HEIGHTxWIDTH.  [default: the "
        "usual size for the data set]",
        type=typed.size,
    )
    mean: tuple[float, ...] | None = option(
        "Likewise: mean to subtract from images in 0 to 1, one number per channel.  "
        "[default: the usual mean for the data set]",
        type=typed.numbers,
    )
    std: tuple[float, ...] | None = std_option()
    resize: int | None = resize_option()

    def factory(self) -> Factory | None:
        """Import the factory of ``--model``.

        Raises:
            SpecError: it cannot be imported.
        """
        return import_model(self.model)


def network_words(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the options for the network's code in the suggested next command."""
    spec = checkpoint.spec
    return () if spec.is_registered else ("--model", spec.backbone)


def load_network(path: Path, network: NetworkOptions, options: DataOptions) -> Checkpoint:
    """Read a checkpoint, or weights of ``--model`` as a checkpoint.

    Raises:
        CheckpointError: the file cannot be read, or does not fit the model.
        SpecError: the model cannot be built, or has no such outputs.
        DataError, UnknownNameError: the data set, which gives the classes, cannot be loaded.
        click.UsageError: weights are given without ``--model`` and ``--dataset``, or a checkpoint
            with options for weights alone.
    """
    from edgeexit.errors import CheckpointError
    from edgeexit.plain_file import foreign_file
    from edgeexit.training.checkpoint import is_checkpoint, load_checkpoint

    if not is_checkpoint(path):
        if network.model is None:
            raise CheckpointError(
                f"{foreign_file(path)}, or give the network of weights from another program "
                "with --model package.module:factory, its exits with --outputs"
            )
        return _load_weights(path, network, options)
    checkpoint = load_checkpoint(path)
    for field in dataclasses.fields(network):
        if field.name != "model" and getattr(network, field.name):
            raise click.UsageError(
                f"--{field.name.replace('_', '-')} goes with weights alone: {path} is a checkpoint "
                "of edgeexit, which describes its network"
            )
    return checkpoint


def _load_weights(path: Path, network: NetworkOptions, options: DataOptions) -> Checkpoint:
    from edgeexit.data import load_data
    from edgeexit.errors import DataError
    from edgeexit.models import attach_exits, from_outputs
    from edgeexit.models.factories import create_model
    from edgeexit.models.weights.fitting import load_weights, own_weights
    from edgeexit.training.checkpoint import checkpoint_of

    if (network.mean is None) != (network.std is None):
        raise click.UsageError("--mean and --std go together")
    factory = network.factory()
    if factory is None or options.dataset is None:
        raise click.UsageError(
            f"{path} holds weights alone: give their network with --model and --outputs, and the "
            "images with --dataset"
        )
    size = None if network.input_size is None else (3, *network.input_size)
    config = options.config(size, mean=network.mean, std=network.std, resize=network.resize)
    data = load_data(config)
    print_data(config.name, data)
    size, classes = data.preprocessing.input_size, len(data.class_names)
    model = create_model(factory, classes)
    loaded = load_weights(
        own_weights(model),
        path,
        what=str(network.model),
        key=network.weights_key,
        new_classifier=network.new_classifier,
    )
    if network.outputs:
        net = from_outputs(model, input_size=size, outputs=network.outputs, name=network.model)
    else:
        net = attach_exits(model, (), branches="none", input_size=size, name=network.model)
    print_notes((str(loaded), *net.notes, _how_images_come(data.preprocessing)))
    if net.spec.num_classes != classes:
        raise DataError(
            f"{config.name}: expected the network's {net.spec.num_classes} classes, got {classes}; "
            "choose the --dataset that it was trained on"
        )
    return checkpoint_of(net, data, config)


def _how_images_come(preprocessing: Preprocessing) -> str:
    """Return a line to compare with the weights' training: wrong preprocessing gives no error."""
    _, height, width = preprocessing.input_size
    resize = preprocessing.resize
    cropped = "" if resize is None else f"center crop of images whose shorter side is {resize}, "
    mean, std = (",".join(f"{x:g}" for x in xs) for xs in (preprocessing.mean, preprocessing.std))
    return (
        f"images: {height}x{width} pixels, {cropped}mean {mean}, std {std}; if the weights were "
        "trained with others, give --input-size, --resize, --mean, --std"
    )
