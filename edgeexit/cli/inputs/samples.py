"""A checkpoint's samples and predictions: options and steps that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.options.backend import DEVICES
from edgeexit.cli.options.shared import max_pixels_option, option_group
from edgeexit.cli.terminal import print_notes, progress_bar

if TYPE_CHECKING:
    import numpy as np
    from edgeexit_runtime.images.preprocess import Preprocessing
    from numpy.typing import NDArray
    from torch import nn
    from torch.utils.data import Dataset

    from edgeexit.data import DataConfig, ImageData
    from edgeexit.evaluation import ExitPredictions
    from edgeexit.training.checkpoint import Checkpoint

FILES_OPTIONS = (  # where the images of a data set are, and how large they may be
    click.option(
        "--data-dir", type=click.Path(path_type=Path), help="Folder of the data set's files."
    ),
    click.option("--download", is_flag=True, help="Download the data set if it is missing."),
    max_pixels_option,
)
WORKERS_OPTION = click.option(
    "--workers",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Processes that load images.",
)
DEVICE_OPTION = click.option(
    "--device", default="auto", show_default=True, type=click.Choice(DEVICES)
)
data_options = option_group(
    click.option(
        "--dataset",
        metavar="NAME",
        help="Name of the data set.  [default: that of the network's training]",
    ),
    *FILES_OPTIONS,
)
_BATCH_SIZE_OPTION = click.option(
    "--batch-size", default=256, show_default=True, type=click.IntRange(min=1)
)
sample_options = option_group(data_options, _BATCH_SIZE_OPTION, WORKERS_OPTION, DEVICE_OPTION)
# for commands that also take bundles, whose backends have devices of their own
bundle_sample_options = option_group(
    data_options,
    _BATCH_SIZE_OPTION,
    WORKERS_OPTION,
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="auto, cpu, cuda; for a bundle, a device of its backend, such as GPU.",
    ),
)


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Values of :data:`data_options`; None leaves the choice to the checkpoint."""

    dataset: str | None
    data_dir: Path | None
    download: bool
    max_pixels: int | None


@dataclass(frozen=True, slots=True)
class SampleOptions(DataOptions):
    """Values of :data:`sample_options`."""

    batch_size: int
    workers: int
    device: str


def load_samples(checkpoint: Checkpoint, options: DataOptions) -> ImageData:
    """Load the data set that the options name, or else the checkpoint.

    Raises:
        UnknownNameError: no data set has that name.
        DataError: it cannot be loaded, or its images or classes do not fit the network.
    """
    trained_on, size = checkpoint.data, checkpoint.spec.input_size
    config = data_config(trained_on.name, lambda: trained_on, size, options)
    return load_fitting(config, checkpoint.class_names, checkpoint.preprocessing)


def load_fitting(
    config: DataConfig, class_names: Sequence[str], preprocessing: Preprocessing
) -> ImageData:
    """Load a data set for a network with these classes and preprocessing, and describe it.

    Raises:
        UnknownNameError: no data set has that name.
        DataError: it cannot be loaded, or its images or classes do not fit the network.
    """
    from edgeexit.data import load_data
    from edgeexit.fitting import check_data_set

    data = load_data(config)
    classes, images = (class_names, data.class_names), (preprocessing, data.preprocessing)
    print_notes(check_data_set(config.name, classes, images))
    print_data(config.name, data)
    return data


def spread_samples(
    split: Dataset[Any], limit: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return up to ``limit`` images (N, C, H, W) and labels, spread evenly over a split."""
    import numpy as np

    count = min(limit, len(split))  # type: ignore[arg-type]
    numbers = np.linspace(0, len(split) - 1, count).round().astype(int)  # type: ignore[arg-type]
    chosen = [split[number] for number in numbers]
    images = np.stack([image.numpy() for image, _ in chosen])
    return images, np.array([label for _, label in chosen], np.int64)


def print_data(name: str, data: ImageData) -> None:
    """Describe a data set and what was omitted on stderr, once per command."""
    from edgeexit.data.words import describe_data

    lines = describe_data(name, data)
    printed: set[tuple[str, ...]] = click.get_current_context().meta.setdefault(__name__, set())
    if lines not in printed:
        printed.add(lines)
        print_notes(lines)


def predict_split(
    net: nn.Module, data: ImageData, split: str, options: SampleOptions
) -> ExitPredictions:
    """Run every exit on every sample of a split, with a progress bar on stderr.

    Raises:
        CheckpointError: a logit is NaN or infinite.
    """
    from edgeexit.devices import resolve_device
    from edgeexit.evaluation import predict

    run = partial(
        predict,
        net,
        data.splits[split],
        batch_size=options.batch_size,
        device=resolve_device(options.device),
        workers=options.workers,
    )
    return predict_with_bar(run, split, len(data.splits[split]))


def predict_with_bar(
    run: Callable[..., ExitPredictions], split: str, samples: int
) -> ExitPredictions:
    """Call a function that takes ``progress``, with a bar on stderr."""
    with progress_bar() as bar:
        task = bar.add_task(split, total=samples)
        return run(progress=lambda done: bar.update(task, completed=done))


def data_config(
    name: str | None,
    stored: Callable[[], DataConfig],
    input_size: tuple[int, int, int],
    options: DataOptions,
) -> DataConfig:
    """Return the data set that the options name, or else that of a network's training.

    Args:
        name: the name of the training data set.
        stored: returns the stored configuration of the training data set.
        input_size: input size of the network.
        options: options of the command line.
    """
    from edgeexit.data import DataConfig

    folder = None if options.data_dir is None else str(options.data_dir)
    if options.dataset not in (None, name):
        return DataConfig(
            str(options.dataset),
            folder,
            input_size,
            options.download,
            max_pixels=options.max_pixels,
        )
    # the stored configuration includes the splits: validation images must not be training images
    config = stored()
    return replace(
        config,
        data_dir=folder or config.data_dir,
        input_size=input_size,
        download=options.download,
        max_pixels=options.max_pixels or config.max_pixels,
    )
