"""A checkpoint's network or a bundle, with its data set, ready to predict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexit.cli.inputs.bundle_samples import bundle_data, predict_bundle_split
from edgeexit.cli.inputs.samples import SampleOptions, load_samples, predict_split
from edgeexit.cli.options.backend import BackendOptions

if TYPE_CHECKING:
    from edgeexit_runtime.bundle.guarantee_entry import Guarantee
    from edgeexit_runtime.images.preprocess import Preprocessing

    from edgeexit.cost import ExitCosts
    from edgeexit.data import ImageData
    from edgeexit.evaluation import ExitPredictions
    from edgeexit.models.factories import Factory
    from edgeexit.training.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A network to evaluate.

    Attributes:
        backbone, branches: the network's name and branching pattern.
        precision, device: of a bundle and its backend; "" for a checkpoint.
        dataset: the name of the data set.
        class_names, preprocessing, thresholds: those of the network.
        guarantee: the guarantee stored with its thresholds.
        costs: costs of its exits.
        data: the data set.
        predict: runs every exit on a split, with a progress bar on stderr.
    """

    backbone: str
    branches: str
    precision: str
    device: str
    dataset: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    thresholds: dict[str, float]
    guarantee: Guarantee | None
    costs: ExitCosts
    data: ImageData
    predict: Callable[[str], ExitPredictions]


@contextmanager
def open_checkpoint(
    checkpoint: Checkpoint, factory: Factory | None, samples: SampleOptions
) -> Iterator[Opened]:
    """Build the network and load the images.

    Raises:
        CheckpointError, SpecError: the network cannot be built.
        UnknownNameError, DataError: the data set is unknown, cannot be loaded, or does not fit.
    """
    from edgeexit.cost import network_cost

    net = checkpoint.build(factory)
    data = load_samples(checkpoint, samples)
    yield Opened(
        checkpoint.spec.backbone,
        checkpoint.spec.pattern,
        "",
        "",
        samples.dataset or checkpoint.data.name,
        checkpoint.class_names,
        checkpoint.preprocessing,
        checkpoint.thresholds,
        checkpoint.guarantee,
        network_cost(net),
        data,
        lambda split: predict_split(net, data, split, samples),
    )


@contextmanager
def open_bundle(folder: Path, backend: BackendOptions, samples: SampleOptions) -> Iterator[Opened]:
    """Load the graphs and the images.

    Raises:
        BundleError, BackendError: the bundle is damaged, or cannot be run.
        UnknownNameError, DataError: the data set is unknown, cannot be loaded, or does not fit.
    """
    import edgeexit_runtime as ee

    from edgeexit.cost import bundle_costs

    with ee.load(folder, **backend.chosen(samples.device)) as session:
        manifest = session.manifest  # a file read apart could be of a bundle that replaced it
        data = bundle_data(folder, manifest, samples)
        yield Opened(
            manifest.model.backbone,
            manifest.model.branches,
            manifest.precision,
            session.device,
            samples.dataset or str(manifest.data.get("name")),
            manifest.class_names,
            manifest.preprocessing,
            manifest.thresholds,
            manifest.guarantee,
            bundle_costs(manifest),
            data,
            lambda split: predict_bundle_split(session, data.splits[split], split, samples),
        )
