"""Networks that were named on the command line -> what every figure is drawn of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeexit.cli.common import progress_bar
from edgeexit.cli.samples import DataOptions, SampleOptions, load_samples, predict_split

if TYPE_CHECKING:
    import edgeexit_runtime as ee
    from edgeexit_runtime.manifest import Manifest

    from edgeexit.cost import NetworkCost
    from edgeexit.data import DataConfig, ImageData
    from edgeexit.evaluation import ExitPredictions
    from edgeexit.figures import Source, Subject
    from edgeexit.models.factories import Factory
    from edgeexit.training import Checkpoint

__all__ = ["load_subjects"]

SPLITS = ("val", "test")


def load_subjects(
    sources: Sequence[Source], options: SampleOptions, model: Factory | None
) -> list[Subject]:
    """Run every network on val and test, with progress bars on stderr.

    Raises:
        UnknownNameError, DataError: the data set is unknown, cannot be loaded, or is not of the
            network's classes, or not that of the other networks.
        CheckpointError, BundleError: a network cannot be built.
    """
    from edgeexit_runtime.manifest import Manifest

    from edgeexit.figures import check_same_images

    subjects: list[Subject] = []
    for source in sources:
        if isinstance(source.network, Manifest):
            subjects.append(_bundle_subject(source, source.network, options))
        else:
            subjects.append(_checkpoint_subject(source, source.network, options, model))
        check_same_images(subjects)
    return subjects


def _checkpoint_subject(
    source: Source, checkpoint: Checkpoint, options: SampleOptions, model: Factory | None
) -> Subject:
    from edgeexit.cost import network_cost
    from edgeexit.figures import Subject

    spec = checkpoint.spec
    net = checkpoint.build(None if spec.is_registered else model)
    data = load_samples(checkpoint, options)
    val, test = (predict_split(net, data, split, options) for split in SPLITS)
    return Subject(
        name=source.name,
        about=_about(spec.backbone, spec.pattern),
        dataset=options.dataset or checkpoint.data.name,
        class_names=checkpoint.class_names,
        preprocessing=checkpoint.preprocessing,
        thresholds=checkpoint.thresholds,
        cost=network_cost(net),
        val=val,
        test=test,
        test_images=data.splits["test"],
    )


def _bundle_subject(source: Source, manifest: Manifest, options: SampleOptions) -> Subject:
    import edgeexit_runtime as ee

    from edgeexit.figures import Subject

    config = _data_config(source, manifest, options)
    data = _load_bundle_data(source, manifest, config)
    providers = {"auto": None, "cpu": ("CPUExecutionProvider",), "cuda": ("CUDAExecutionProvider",)}
    with ee.load(source.path, providers=providers[options.device]) as session:
        val, test = (_predict_bundle(session, data, split, options) for split in SPLITS)
    return Subject(
        name=source.name,
        about=_about(manifest.model.backbone, manifest.model.branches, manifest.precision),
        dataset=config.name,
        class_names=manifest.class_names,
        preprocessing=manifest.preprocessing,
        thresholds=manifest.thresholds,
        cost=_bundle_cost(manifest),
        val=val,
        test=test,
        test_images=data.splits["test"],
    )


def _data_config(source: Source, manifest: Manifest, options: DataOptions) -> DataConfig:
    """Return what the bundle's network was trained on, or else what the options name."""
    from edgeexit_runtime.schema import SchemaError, decode

    from edgeexit.data import DataConfig
    from edgeexit.errors import BundleError

    size = manifest.preprocessing.input_size
    folder = None if options.data_dir is None else str(options.data_dir)
    if options.dataset not in (None, manifest.data.get("name")):
        return DataConfig(str(options.dataset), folder, size, options.download)
    try:
        stored = decode(DataConfig, manifest.data, "data")
    except SchemaError as error:
        raise BundleError(
            f"{source.path}: its manifest does not say which data it was trained on ({error}); "
            "give --dataset"
        ) from error
    return replace(
        stored,
        data_dir=folder or stored.data_dir,
        input_size=size,
        download=options.download,
    )


def _load_bundle_data(source: Source, manifest: Manifest, config: DataConfig) -> ImageData:
    from edgeexit.data import load_data
    from edgeexit.errors import DataError

    data = load_data(config)
    for what, expected, got in (
        ("classes", manifest.class_names, data.class_names),
        ("preprocessing", manifest.preprocessing, data.preprocessing),
    ):
        if expected != got:
            raise DataError(
                f"{source.path}: expected a data set with the bundle's {what}, got {config.name} "
                "with others; choose the --dataset that the network was trained on"
            )
    return data


def _predict_bundle(
    session: ee.Session, data: ImageData, split: str, options: SampleOptions
) -> ExitPredictions:
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


def _bundle_cost(manifest: Manifest) -> NetworkCost:
    """Return the costs of the bundle's exits; those of its parts play no part in figures."""
    from edgeexit.cost import ExitCost, NetworkCost

    exits = tuple(
        ExitCost(exit_.name, exit_.backbone_macs, exit_.branch_macs, exit_.path_macs)
        for exit_ in manifest.exits
    )
    return NetworkCost(exits, (), (), baseline_macs=exits[-1].macs)


def _about(backbone: str, pattern: str, precision: str = "") -> str:
    branches = "plain" if pattern == "none" else pattern
    return " ".join(part for part in (backbone, branches, precision) if part)
