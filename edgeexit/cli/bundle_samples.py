"""A bundle and the samples it is judged on, as :mod:`edgeexit.cli.samples` is for checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexit.cli.common import progress_bar
from edgeexit.cli.samples import DataOptions, SampleOptions

if TYPE_CHECKING:
    from edgeexit_runtime import Manifest, Session

    from edgeexit.cost import ExitCosts
    from edgeexit.data import DataConfig, ImageData
    from edgeexit.evaluation import ExitPredictions

__all__ = ["bundle_costs", "bundle_data", "predict_bundle_split", "providers_of"]

PROVIDERS = {"auto": None, "cpu": ("CPUExecutionProvider",), "cuda": ("CUDAExecutionProvider",)}


def providers_of(options: SampleOptions) -> tuple[str, ...] | None:
    """Return ONNX Runtime's execution providers that ``--device`` means."""
    return PROVIDERS[options.device]


def bundle_data(folder: Path, manifest: Manifest, options: DataOptions) -> ImageData:
    """Load the data set that the options, or else the manifest, name.

    Raises:
        UnknownNameError: no data set has that name.
        BundleError: the manifest names none.
        DataError: it cannot be loaded, or its images or classes are not the bundle's.
    """
    from edgeexit.data import load_data
    from edgeexit.errors import DataError

    config = bundle_data_config(folder, manifest, options)
    data = load_data(config)
    for what, expected, got in (
        ("classes", manifest.class_names, data.class_names),
        ("preprocessing", manifest.preprocessing, data.preprocessing),
    ):
        if expected != got:
            raise DataError(
                f"{folder}: expected a data set with the bundle's {what}, got {config.name} "
                "with others; choose the --dataset that the network was trained on"
            )
    return data


def bundle_data_config(folder: Path, manifest: Manifest, options: DataOptions) -> DataConfig:
    """Return what the bundle's network was trained on, or else what the options name.

    Raises:
        BundleError: neither names a data set.
    """
    from edgeexit_runtime.schema import SchemaError, decode

    from edgeexit.data import DataConfig
    from edgeexit.errors import BundleError

    size = manifest.preprocessing.input_size
    data_dir = None if options.data_dir is None else str(options.data_dir)
    if options.dataset not in (None, manifest.data.get("name")):
        return DataConfig(str(options.dataset), data_dir, size, options.download)
    try:
        stored = decode(DataConfig, manifest.data, "data")
    except SchemaError as error:
        raise BundleError(
            f"{folder}: its manifest does not say which data it was trained on ({error}); "
            "give --dataset"
        ) from error
    return replace(
        stored,
        data_dir=data_dir or stored.data_dir,
        input_size=size,
        download=options.download,
    )


def predict_bundle_split(
    session: Session, data: ImageData, split: str, options: SampleOptions
) -> ExitPredictions:
    """Run every exit of a bundle on every sample of a split, with a progress bar on stderr.

    Raises:
        BundleError: it answers NaN.
    """
    import numpy as np

    from edgeexit.errors import BundleError
    from edgeexit.evaluation import predict_bundle

    dataset = data.splits[split]
    with progress_bar() as bar:
        task = bar.add_task(split, total=len(dataset))
        predictions = predict_bundle(
            session,
            dataset,
            workers=options.workers,
            progress=lambda done: bar.update(task, completed=done),
        )
    if np.isnan(predictions.confidences).any():
        raise BundleError(
            "the bundle answers NaN: its values are beyond its precision, export it in a higher one"
        )
    return predictions


def bundle_costs(manifest: Manifest) -> ExitCosts:
    """Return what the bundle's exits cost in MACs."""
    from edgeexit.cost import ExitCost, ExitCosts

    return ExitCosts(
        tuple(
            ExitCost(exit_.name, exit_.backbone_macs, exit_.branch_macs, exit_.path_macs)
            for exit_ in manifest.exits
        )
    )
