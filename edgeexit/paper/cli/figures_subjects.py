"""Networks from the command line -> the subjects of all figures."""

from __future__ import annotations

from collections.abc import Sequence

from edgeexit_runtime.bundle.manifest import Manifest
from edgeexit_runtime.errors import printable

from edgeexit.cli.inputs.opened import Opened, open_bundle, open_checkpoint
from edgeexit.cli.inputs.samples import SampleOptions
from edgeexit.cli.options.backend import BackendOptions
from edgeexit.models.factories import Factory
from edgeexit.paper.figures import Source, Subject, check_same_images

ANY_BACKEND = BackendOptions()


def load_subjects(
    sources: Sequence[Source], samples: SampleOptions, model: Factory | None
) -> list[Subject]:
    """Run every network on val and test, with progress bars on stderr.

    Raises:
        UnknownNameError, DataError: the data set is unknown, cannot be loaded, does not have the
            network's classes, or is not that of the other networks.
        CheckpointError, BundleError: a network cannot be built.
    """
    subjects: list[Subject] = []
    for source in sources:
        network = source.network
        if isinstance(network, Manifest):
            opening = open_bundle(source.path, ANY_BACKEND, samples)
        else:
            own = None if network.spec.is_registered else model
            opening = open_checkpoint(network, own, samples)
        with opening as opened:
            subjects.append(_subject(source.name, opened))
        check_same_images(subjects)
    return subjects


def _subject(name: str, opened: Opened) -> Subject:
    branches = "plain" if opened.branches == "none" else opened.branches
    return Subject(
        name=name,
        about=f"{opened.backbone} {branches} {opened.precision}".strip(),
        dataset=opened.dataset,
        class_names=tuple(map(printable, opened.class_names)),
        preprocessing=opened.preprocessing,
        thresholds=opened.thresholds,
        cost=opened.costs,
        val=opened.predict("val"),
        test=opened.predict("test"),
        test_images=opened.data.splits["test"],
    )
