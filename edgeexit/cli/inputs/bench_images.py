"""The images of ``edgeexit bench``: those given, or else the bundle's own data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.inputs.bundle_samples import bundle_data_config
from edgeexit.cli.inputs.samples import FILES_OPTIONS, DataOptions
from edgeexit.cli.options.shared import option_group
from edgeexit.cli.terminal import print_notes, remark

if TYPE_CHECKING:
    from edgeexit_runtime import Manifest

    from edgeexit.bench import BenchImages

NONE = "none"


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """Values of :data:`image_options`."""

    dataset: str | None
    data_dir: Path | None
    download: bool
    images: Path | None
    npz: Path | None
    samples: int
    max_pixels: int | None

    def check(self) -> None:
        """Raise :class:`click.UsageError` if two options do not go together."""
        if sum(source is not None for source in (self.dataset, self.images, self.npz)) > 1:
            raise click.UsageError("give one of --dataset, --images and --npz, or none of them")
        no_data_set = self.dataset == NONE or self.images is not None or self.npz is not None
        if (self.data_dir is not None or self.download) and no_data_set:
            raise click.UsageError("--data-dir and --download go with a data set")

    @property
    def is_data_set_asked_for(self) -> bool:
        """Whether it is an error if the data set is not available."""
        return self.dataset is not None or self.data_dir is not None or self.download


image_options = option_group(
    click.option(
        "--dataset",
        metavar="NAME",
        help="Run the test images of a data set, or 'none'.  [default: the data set that the "
        "network was trained on, if available]",
    ),
    click.option(
        "--images",
        type=click.Path(path_type=Path),
        help="Run the images of a folder or of its class folders.",
    ),
    click.option(
        "--npz",
        type=click.Path(path_type=Path),
        help="Run a NumPy archive: images uint8 (N,H,W,C) or float32 (N,C,H,W), labels (N,).",
    ),
    click.option(
        "--samples",
        default=500,
        show_default=True,
        type=click.IntRange(min=1),
        help="Maximum number of images.",
    ),
    *FILES_OPTIONS,
)


def choose_images(
    folder: Path, manifest: Manifest, options: ImageOptions, seed: int
) -> BenchImages | None:
    """Return the images that the options name, or else test images of the bundle's data set.

    If the bundle's own data set is not available, a line on stderr says so, and None is returned.

    Raises:
        UnknownNameError, DataError, BundleError: images that were asked for are not available.
    """
    from edgeexit_runtime.images.decoding import MAX_PIXELS

    from edgeexit.bench import images_from_folder, images_from_npz
    from edgeexit.errors import EdgeExitError

    if options.dataset == NONE:
        return None
    if options.images is not None:
        limit = options.max_pixels or MAX_PIXELS
        images = images_from_folder(options.images, manifest, options.samples, seed, limit)
    elif options.npz is not None:
        images = images_from_npz(options.npz, manifest, options.samples, seed)
    else:
        try:
            images = _from_data_set(folder, manifest, options, seed)
        except (EdgeExitError, OSError) as error:
            if options.is_data_set_asked_for:
                raise
            remark(f"measured without images: {error} (or give --images or --npz)")
            return None
    print_notes(images.notes)
    return images


def _from_data_set(
    folder: Path, manifest: Manifest, options: ImageOptions, seed: int
) -> BenchImages:
    from edgeexit.bench import images_from_dataset

    named = DataOptions(options.dataset, options.data_dir, options.download, options.max_pixels)
    config = bundle_data_config(folder, manifest, named)
    return images_from_dataset(config, manifest, options.samples, seed)
