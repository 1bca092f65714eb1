"""The images of ``edgeexit bench``: those given, or else the bundle's own data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.inputs.bundle_samples import bundle_data_config
from edgeexit.cli.inputs.samples import DataOptions
from edgeexit.cli.options.fields import PATH, option
from edgeexit.cli.options.shared import AT_LEAST_1
from edgeexit.cli.terminal import print_notes, remark

if TYPE_CHECKING:
    from edgeexit_runtime import Manifest

    from edgeexit.bench import BenchImages

NONE = "none"


@dataclass(frozen=True, slots=True)
class ImageOptions(DataOptions):
    """The images that a benchmark runs."""

    dataset: str | None = option(
        "Run the test images of a data set, or 'none'.  [default: the data set that the "
        "network was trained on, if available]",
        metavar="NAME",
    )
    images: Path | None = option("Run the images of a folder or of its class folders.", type=PATH)
    npz: Path | None = option(
        "Run a NumPy archive: images uint8 (N,H,W,C) or float32 (N,C,H,W), labels (N,).",
        type=PATH,
    )
    samples: int = option("Maximum number of images.", default=500, type=AT_LEAST_1)

    def check(self) -> None:
        """Raise :class:`click.UsageError` if two options do not go together."""
        if sum(source is not None for source in (self.dataset, self.images, self.npz)) > 1:
            raise click.UsageError("give one of --dataset, --images and --npz, or none of them")
        no_data_set = self.dataset == NONE or self.images is not None or self.npz is not None
        if (self.data_dir is not None or self.download) and no_data_set:
            raise click.UsageError("--data-dir and --download go with a data set")


def choose_images(
    folder: Path, manifest: Manifest, options: ImageOptions, seed: int
) -> BenchImages | None:
    """Return the images that the options name, or else test images of the bundle's data set.

    If the bundle's own data set is not available, a line on stderr says so, and None is returned.

    Raises:
        UnknownNameError, DataError, BundleError: images that were asked for are not available.
    """
    from edgeexit_runtime.images.decoding import MAX_PIXELS

    from edgeexit.bench import images_from_dataset, images_from_folder, images_from_npz
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
            config = bundle_data_config(folder, manifest, options)
            images = images_from_dataset(config, manifest, options.samples, seed)
        except (EdgeExitError, OSError) as error:
            if options.dataset is not None or options.data_dir is not None or options.download:
                raise  # it was asked for
            remark(f"measured without images: {error} (or give --images or --npz)")
            return None
    print_notes(images.notes)
    return images
