"""A bundle's samples and predictions, as samples.py provides them for checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeexit.cli.inputs.samples import (
    DataOptions,
    SampleOptions,
    counting_bar,
    data_config,
    load_fitting,
)
from edgeexit.cli.terminal import print_notes

if TYPE_CHECKING:
    from edgeexit_runtime import Manifest, Session

    from edgeexit.data import DataConfig, ImageData
    from edgeexit.data.dataset import ImageDataset
    from edgeexit.evaluation import ExitPredictions


def bundle_data(folder: Path, manifest: Manifest, options: DataOptions) -> ImageData:
    """Load the data set that the options name, or else the manifest.

    Raises:
        UnknownNameError: no data set has that name.
        BundleError: the manifest names none.
        DataError: it cannot be loaded, or its images or classes do not fit the bundle.
    """
    config = bundle_data_config(folder, manifest, options)
    return load_fitting(config, manifest.class_names, manifest.preprocessing)


def bundle_data_config(folder: Path, manifest: Manifest, options: DataOptions) -> DataConfig:
    """Return the data set that the options name, or else that of the network's training.

    Raises:
        BundleError: neither names a data set.
    """
    from edgeexit_runtime.bundle.schema import SchemaError, decode

    from edgeexit.data import DataConfig
    from edgeexit.errors import BundleError

    def stored() -> DataConfig:
        try:
            return decode(DataConfig, manifest.data, "data")
        except SchemaError as error:
            raise BundleError(
                f"{folder}: its manifest does not name the data it was trained on ({error}); "
                "give --dataset"
            ) from error

    size = manifest.preprocessing.input_size
    return data_config(manifest.data.get("name"), stored, size, options)


def predict_bundle_split(
    session: Session, dataset: ImageDataset, split: str, options: SampleOptions
) -> ExitPredictions:
    """Run every exit of a bundle on every sample of a data set, with a progress bar on stderr.

    Raises:
        BackendError: the bundle cannot be run, or its answers are invalid.
    """
    from edgeexit.evaluation import predict_bundle

    with counting_bar(split, len(dataset)) as progress:
        return predict_bundle(session, dataset, workers=options.workers, progress=progress)


def folder_images(
    folder: Path, manifest: Manifest, max_pixels: int | None
) -> tuple[ImageDataset, bool]:
    """Return the images of a folder, preprocessed for the bundle, and whether they have labels.

    Images in class folders named after the bundle's classes have labels; otherwise every label
    is 0.

    Raises:
        DataError: the folder is missing or empty, or has other classes.
    """
    from edgeexit_runtime.images.decoding import MAX_PIXELS
    from edgeexit_runtime.images.fitting import MODES

    from edgeexit.bench.images import folder_labels
    from edgeexit.data.class_folders import Files
    from edgeexit.data.imagefolder import ImageFiles
    from edgeexit.data.transforms import FitImage, compose
    from edgeexit.errors import DataError
    from edgeexit.images.files import find_images
    from edgeexit.paths import is_folder

    preprocessing = manifest.preprocessing
    channels = preprocessing.input_size[0]
    if not is_folder(folder):
        raise DataError(f"there is no folder {folder}; expected one with images")
    if channels not in MODES:
        raise DataError(
            f"{folder}: files hold images of 1 or 3 channels, the bundle takes {channels}; give "
            "--dataset"
        )
    found = find_images(folder)
    print_notes(found.notes)
    labels = folder_labels(found, manifest.class_names)
    files = Files(found.paths, tuple(labels or [0] * len(found.paths)))
    transform = compose([FitImage(preprocessing)], preprocessing)
    images = ImageFiles(files, transform, MODES[channels], max_pixels or MAX_PIXELS)
    return images, labels is not None
