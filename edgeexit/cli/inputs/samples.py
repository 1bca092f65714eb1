"""A checkpoint's samples and predictions: options and steps that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from edgeexit_runtime.backends import AUTO

from edgeexit.cli.options.fields import option
from edgeexit.cli.options.shared import (
    AT_LEAST_1,
    data_dir_option,
    device_option,
    download_option,
    max_pixels_option,
    workers_option,
)
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


@dataclass(frozen=True, slots=True)
class DataOptions:
    """A data set; None leaves the choice to the checkpoint."""

    dataset: str | None = option(
        "Name of the data set.  [default: that of the network's training]", metavar="NAME"
    )
    data_dir: Path | None = data_dir_option()
    download: bool = download_option()
    max_pixels: int | None = max_pixels_option()

    def config(self, input_size: tuple[int, int, int] | None, **more: Any) -> DataConfig:
        """Return the configuration of the data set that is named.

        Args:
            input_size: of the network; None for the usual size.
            more: further fields of the configuration.
        """
        from edgeexit.data import DataConfig

        folder = None if self.data_dir is None else str(self.data_dir)
        sized = (folder, input_size, self.download)
        return DataConfig(str(self.dataset), *sized, max_pixels=self.max_pixels, **more)


@dataclass(frozen=True, slots=True)
class SampleOptions(DataOptions):
    """How every exit is run on a data set, for commands that take checkpoints."""

    batch_size: int = option(None, default=256, type=AT_LEAST_1)
    workers: int = workers_option()
    device: str = device_option()


@dataclass(frozen=True, slots=True)
class BundleSampleOptions(SampleOptions):
    """The same for commands that also take bundles, whose backends have devices of their own."""

    device: str = option(
        "auto, cpu, cuda; for a bundle, a device of its backend, such as GPU.", default=AUTO
    )


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

    with counting_bar(split, len(data.splits[split])) as progress:
        return predict(
            net,
            data.splits[split],
            batch_size=options.batch_size,
            device=resolve_device(options.device),
            workers=options.workers,
            progress=progress,
        )


@contextmanager
def counting_bar(split: str, samples: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of samples done, and moves a bar on stderr."""
    with progress_bar() as bar:
        task = bar.add_task(split, total=samples)
        yield lambda done: bar.update(task, completed=done)


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
    if options.dataset not in (None, name):
        return options.config(input_size)
    # the stored configuration includes the splits: validation images must not be training images
    config = stored()
    return replace(
        config,
        data_dir=config.data_dir if options.data_dir is None else str(options.data_dir),
        input_size=input_size,
        download=options.download,
        max_pixels=options.max_pixels or config.max_pixels,
    )
