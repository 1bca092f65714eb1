"""Information that an ONNX file lacks: classes, normalization, and images to verify it on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cli.inputs.samples import DataOptions, print_data, spread_samples
from edgeexit.cli.options import typed
from edgeexit.cli.options.fields import PATH, option
from edgeexit.cli.options.shared import refuse, resize_option

if TYPE_CHECKING:
    import numpy as np
    from edgeexit_runtime import Preprocessing
    from numpy.typing import NDArray

    from edgeexit.export.from_onnx.split import OnnxParts

USUAL_MEAN, USUAL_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, which most networks for images of 3 channels were trained with."""

MAX_NAMES_BYTES = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class ProofImages:
    """Images (N, C, H, W), normalized, and the manifest's data on images and classes."""

    samples: NDArray[np.float32]
    source: str
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    labels: NDArray[np.int64] | None = None
    data: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProofOptions(DataOptions):
    """Images and classes for an ONNX file."""

    dataset: str | None = option(
        "Name of the data set that the images and classes are of.", metavar="NAME"
    )
    images: Path | None = option(
        "Images to verify the bundle on, without labels.  [default: random values]",
        type=PATH,
        metavar="FOLDER|NPY|NPZ",
    )
    mean: tuple[float, ...] | None = option(
        "Mean to subtract from images in 0 to 1, one number per channel.  [default: "
        "ImageNet's, with a remark]",
        type=typed.numbers,
    )
    std: tuple[float, ...] | None = option(
        "Standard deviation to divide them by.", type=typed.numbers
    )
    resize: int | None = resize_option()
    class_names: Path | None = option(
        "A text file with one name per line.  [default: 0, 1, 2, ...]", type=PATH
    )

    def read(self, parts: OnnxParts, samples: int) -> ProofImages:
        """Read up to ``samples`` images and the classes that the options name.

        Raises:
            DataError, InputError, UnknownNameError: they cannot be read, or do not fit the model.
            click.UsageError: the options do not go together.
        """
        if (self.mean is None) != (self.std is None):
            raise click.UsageError("--mean and --std go together")
        if self.dataset is None:
            refuse(("resize",), "goes with --dataset: --images crops nothing")
            return self._without_dataset(parts, samples)
        refuse(("images", "class_names"), "does not go with --dataset, which includes it")
        return self._of_dataset(parts, samples)

    def _of_dataset(self, parts: OnnxParts, count: int) -> ProofImages:
        from edgeexit.data import load_data
        from edgeexit.errors import DataError

        shape = parts.classifier.input_size
        config = self.config(shape, mean=self.mean, std=self.std, resize=self.resize)
        data = load_data(config)
        print_data(config.name, data)
        if len(data.class_names) != parts.num_classes:
            raise DataError(
                f"expected a data set of {parts.num_classes} classes, as {parts.classifier.file} "
                f"has, got {config.name} with {len(data.class_names)}; choose another --dataset"
            )
        samples, labels = spread_samples(data.splits["val"], count)
        return ProofImages(
            samples,
            f"{config.name}, val",
            data.preprocessing,
            data.class_names,
            labels,
            encode(config),
        )

    def _without_dataset(self, parts: OnnxParts, count: int) -> ProofImages:
        from edgeexit_runtime.images.decoding import MAX_PIXELS

        from edgeexit.export.from_onnx.running import random_images
        from edgeexit.export.int8.calibration_images import load_calibration_images

        preprocessing, notes = self._preprocessing(parts)
        names = self._class_names(parts.num_classes)
        if self.images is None:
            samples = random_images(parts.classifier.input_size, min(count, 32))
            notes += ("verified on random images alone; give --images or --dataset to use yours",)
            return ProofImages(samples, "random values", preprocessing, names, notes=notes)
        found = load_calibration_images(
            self.images, preprocessing, max_pixels=self.max_pixels or MAX_PIXELS, most=count
        )
        return ProofImages(
            found.images,
            found.source,
            preprocessing,
            names,
            notes=(*notes, *found.notes),
        )

    def _preprocessing(self, parts: OnnxParts) -> tuple[Preprocessing, tuple[str, ...]]:
        from edgeexit_runtime import Preprocessing

        from edgeexit.errors import InputError

        size = parts.classifier.input_size
        notes: tuple[str, ...] = ()
        mean, std = self.mean, self.std
        if mean is None or std is None:
            if size[0] != len(USUAL_MEAN):
                raise click.UsageError(
                    f"images of {size[0]} channels: give --mean and --std, one number for each"
                )
            mean, std = USUAL_MEAN, USUAL_STD
            notes = (
                "the file does not contain the normalization of images: ImageNet's mean and "
                "standard deviation are used, unless --mean and --std are given",
            )
        try:
            return Preprocessing(size, mean, std), notes
        except ValueError as error:
            raise InputError(f"--mean and --std: {error}") from error

    def _class_names(self, count: int) -> tuple[str, ...]:
        from edgeexit.errors import DataError

        if self.class_names is None:
            return tuple(map(str, range(count)))
        try:
            with self.class_names.open(encoding="utf-8-sig") as file:  # Windows puts a mark first
                names = tuple(file.read(MAX_NAMES_BYTES).split("\n"))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.class_names}: cannot be read as text ({error})") from error
        names = tuple(name.strip() for name in names)
        names = names[:-1] if names and not names[-1] else names
        if len(names) != count:
            raise DataError(
                f"{self.class_names}: expected {count} names, one on each line, got {len(names)}"
            )
        return names
