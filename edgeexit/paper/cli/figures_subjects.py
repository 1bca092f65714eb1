"""Networks that were named on the command line -> what every figure is drawn of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeexit_runtime.errors import printable

from edgeexit.cli.inputs.bundle_samples import (
    bundle_data,
    device_of,
    predict_bundle_split,
)
from edgeexit.cli.inputs.samples import SampleOptions, load_samples, predict_split

if TYPE_CHECKING:
    from edgeexit_runtime.bundle.manifest import Manifest

    from edgeexit.models.factories import Factory
    from edgeexit.paper.figures import Source, Subject
    from edgeexit.training import Checkpoint

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
    from edgeexit_runtime.bundle.manifest import Manifest

    from edgeexit.paper.figures import check_same_images

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
    from edgeexit.paper.figures import Subject

    spec = checkpoint.spec
    net = checkpoint.build(None if spec.is_registered else model)
    data = load_samples(checkpoint, options)
    val, test = (predict_split(net, data, split, options) for split in SPLITS)
    return Subject(
        name=source.name,
        about=_about(spec.backbone, spec.pattern),
        dataset=options.dataset or checkpoint.data.name,
        class_names=tuple(map(printable, checkpoint.class_names)),
        preprocessing=checkpoint.preprocessing,
        thresholds=checkpoint.thresholds,
        cost=network_cost(net),
        val=val,
        test=test,
        test_images=data.splits["test"],
    )


def _bundle_subject(source: Source, manifest: Manifest, options: SampleOptions) -> Subject:
    import edgeexit_runtime as ee

    from edgeexit.cost import bundle_costs
    from edgeexit.paper.figures import Subject

    data = bundle_data(source.path, manifest, options)
    with ee.load(source.path, device=device_of(options)) as session:
        val, test = (
            predict_bundle_split(session, data.splits[split], split, options) for split in SPLITS
        )
    return Subject(
        name=source.name,
        about=_about(manifest.model.backbone, manifest.model.branches, manifest.precision),
        dataset=options.dataset or str(manifest.data.get("name")),
        class_names=tuple(map(printable, manifest.class_names)),
        preprocessing=manifest.preprocessing,
        thresholds=manifest.thresholds,
        cost=bundle_costs(manifest),
        val=val,
        test=test,
        test_images=data.splits["test"],
    )


def _about(backbone: str, pattern: str, precision: str = "") -> str:
    branches = "plain" if pattern == "none" else pattern
    return " ".join(part for part in (backbone, branches, precision) if part)
