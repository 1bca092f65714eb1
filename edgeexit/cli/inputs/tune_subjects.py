"""A checkpoint or a bundle -> what ``edgeexit tune`` chooses thresholds for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexit.cli.bench import bench_with_bar
from edgeexit.cli.inputs.bundle_samples import (
    bundle_data,
    folder_images,
    predict_bundle_split,
)
from edgeexit.cli.inputs.own_weights import NetworkOptions
from edgeexit.cli.inputs.samples import SampleOptions, load_samples, predict_split
from edgeexit.cli.options.backend import BackendOptions
from edgeexit.cli.options.tune import LATENCY, TuneOptions
from edgeexit.cli.terminal import remark

if TYPE_CHECKING:
    from edgeexit_runtime import Manifest
    from edgeexit_runtime.bundle.guarantee_entry import Guarantee

    from edgeexit.cost import ExitCosts
    from edgeexit.data.dataset import ImageDataset
    from edgeexit.evaluation.calibration import Calibration
    from edgeexit.evaluation.path_costs import PathCosts
    from edgeexit.thresholds.guarantee import Promise
    from edgeexit.thresholds.score_areas import ScoreArea
    from edgeexit.thresholds.tuning import Subject
    from edgeexit.training.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network and what is known of it.

    Attributes:
        title: what it is, in words.
        dataset: what it is judged on.
        source: where the costs come from.
        subject: its answers and costs.
        chosen_on: the images that thresholds are chosen on, in words.
        labelled: whether true classes are known, not the last exit's answers in their place.
        calibration: temperatures that were fitted; None without.
    """

    title: str
    dataset: str
    source: str
    subject: Subject
    chosen_on: str
    labelled: bool = True
    calibration: Calibration | None = field(default=None)


def load_checkpoint_subject(
    checkpoint: Checkpoint,
    options: TuneOptions,
    samples: SampleOptions,
    network: NetworkOptions,
) -> Loaded:
    """Run a checkpoint's network on val and test; with ``--calibrate``, calibrated before."""
    from edgeexit.cost import network_cost
    from edgeexit.devices import resolve_device
    from edgeexit.evaluation.calibration import calibrate
    from edgeexit.thresholds.tuning import Subject

    net = checkpoint.build(network.factory())
    exits = network_cost(net)
    costs, source = _costs(exits, options)
    data = load_samples(checkpoint, samples)
    calibration = None
    if options.calibrate:
        net.temperatures = {}
        before = predict_split(net, data, "val", samples)
        calibration = calibrate(
            net,
            data.splits["val"],
            before,
            batch_size=samples.batch_size,
            device=resolve_device(samples.device),
            workers=samples.workers,
        )
        val = calibration.predictions
    else:
        val = predict_split(net, data, "val", samples)
    test = predict_split(net, data, "test", samples)
    dataset = samples.dataset or checkpoint.data.name
    return Loaded(
        f"{checkpoint.spec.backbone}, branches {checkpoint.spec.pattern}",
        dataset,
        source,
        Subject(exits, costs, {"val": val, "test": test}),
        f"{dataset}, val",
        calibration=calibration,
    )


def score_areas(
    checkpoint: Checkpoint, options: TuneOptions, samples: SampleOptions, network: NetworkOptions
) -> tuple[list[ScoreArea], str]:
    """Run a checkpoint's network on val and test by each score, and compare their fronts.

    Returns what they come to, ``softmax`` first, and the unit of the costs.
    """
    from edgeexit.cost import network_cost
    from edgeexit.scores import SCORES, SOFTMAX, check_score
    from edgeexit.thresholds.score_areas import compare_scores

    net = checkpoint.build(network.factory())
    costs, _ = _costs(network_cost(net), options)
    data = load_samples(checkpoint, samples)
    answers = {}
    for name in sorted(SCORES.names(), key=lambda name: name != SOFTMAX):
        net.score = check_score(name, checkpoint.spec.num_classes)
        answers[name] = (
            predict_split(net, data, "val", samples),
            predict_split(net, data, "test", samples),
        )
    return compare_scores(answers, costs, options.grid_size), costs.unit


def load_bundle(
    options: TuneOptions, samples: SampleOptions, backend: BackendOptions, promise: Promise | None
) -> Loaded:
    """Run a bundle's own graphs on val and test, or on ``--images``.

    With ``--objective latency`` it is timed, too.
    """
    import edgeexit_runtime as ee

    from edgeexit.cost import bundle_costs
    from edgeexit.thresholds.tuning import Subject

    assert options.engine_dir is not None
    folder = options.engine_dir
    manifest = ee.load_manifest(folder)
    exits = bundle_costs(manifest)
    images = _bundle_images(folder, manifest, options, samples, promise)
    if options.objective == LATENCY:
        costs, source = _measure(folder, backend.chosen(samples.device))
    else:
        costs, source = _costs(exits, options)
    with ee.load(folder, **backend.chosen(samples.device)) as session:
        answers = {
            split: predict_bundle_split(session, dataset, split, samples)
            for split, dataset in images.splits.items()
        }
    if not images.labelled:
        answers = {split: answer.against_last() for split, answer in answers.items()}
    model = manifest.model
    return Loaded(
        f"{model.backbone}, branches {model.branches}, {manifest.precision}",
        images.dataset,
        source,
        Subject(exits, costs, answers),
        images.chosen_on,
        images.labelled,
    )


@dataclass(frozen=True, slots=True)
class _Images:
    """What a bundle is run on; the fields are those of :class:`Loaded`, and the splits."""

    dataset: str
    chosen_on: str
    splits: dict[str, ImageDataset]
    labelled: bool = True


def _bundle_images(
    folder: Path,
    manifest: Manifest,
    options: TuneOptions,
    samples: SampleOptions,
    promise: Promise | None,
) -> _Images:
    from edgeexit_runtime.bundle.guarantee_entry import DISAGREEMENT
    from edgeexit_runtime.errors import printable

    from edgeexit.errors import DataError

    if options.images is None:
        data = bundle_data(folder, manifest, samples)
        dataset = samples.dataset or str(manifest.data.get("name"))
        splits = {split: data.splits[split] for split in ("val", "test")}
        return _Images(dataset, f"{dataset}, val", splits)
    images, labelled = folder_images(options.images, manifest, samples.max_pixels)
    dataset = printable(str(options.images))
    if not labelled and promise is not None and promise.risk != DISAGREEMENT:
        raise DataError(
            f"{dataset}: --max-{promise.risk} needs labels, which these images do not have: put "
            "them into folders named as the classes, or give --max-disagreement, which needs none"
        )
    return _Images(dataset, dataset, {"images": images}, labelled)


def check_replaceable(path: Path, checkpoint: Checkpoint) -> Guarantee | None:
    """Raise where ``path`` is there and is not what was tuned of the network of ``checkpoint``.

    Returns what was guaranteed of it.

    Raises:
        WriteError: so it is.
    """
    from edgeexit.errors import CheckpointError, WriteError
    from edgeexit.training.checkpoint import load_checkpoint

    if not path.exists():
        return None
    try:
        found = load_checkpoint(path)
    except CheckpointError:
        found = None
    if (
        found is None
        or "tuning" not in found.metrics
        or (found.spec, found.data) != (checkpoint.spec, checkpoint.data)
    ):
        raise WriteError(
            f"{path}: is there, and 'edgeexit tune' did not write it of this network; choose "
            "another -o"
        )
    return found.guarantee


def save_tuned(
    checkpoint: Checkpoint,
    output: Path,
    thresholds: dict[str, float],
    guarantee: Guarantee | None,
    loaded: Loaded,
    tuning: Any,
) -> None:
    """Write the checkpoint with other thresholds, and temperatures where they were fitted."""
    from edgeexit.training.checkpoint import save_checkpoint

    temperatures = checkpoint.temperatures
    if loaded.calibration is not None:
        temperatures = loaded.calibration.temperatures
    tuned = dataclasses.replace(
        checkpoint,
        thresholds=thresholds,
        temperatures=temperatures,
        guarantee=guarantee,
        metrics={**checkpoint.metrics, "tuning": tuning},
    )
    save_checkpoint(output, tuned)


def save_bundle(
    folder: Path, loaded: Loaded, thresholds: dict[str, float], guarantee: Guarantee | None
) -> Guarantee | None:
    """Write thresholds, and what was shown and is expected of them, into a manifest, atomically.

    Returns what was shown of those that stood there.

    The bundle's lock must be held, as by whatever else changes it.
    """
    import edgeexit_runtime as ee
    from edgeexit_runtime.bundle.expected_entry import Expected
    from edgeexit_runtime.bundle.manifest import MANIFEST_NAME, manifest_json

    from edgeexit.evaluation import routed
    from edgeexit.files import replace_file

    manifest: Manifest = ee.load_manifest(folder)
    exits = tuple(
        dataclasses.replace(exit_, threshold=thresholds.get(exit_.name, exit_.threshold))
        for exit_ in manifest.exits
    )
    answers = routed(loaded.subject.val, thresholds)
    expected = Expected.of(answers, manifest.exit_names, thresholds, loaded.chosen_on)
    text = manifest_json(
        dataclasses.replace(manifest, exits=exits, guarantee=guarantee, expected=expected)
    )
    with replace_file(folder / MANIFEST_NAME) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return manifest.guarantee


def _costs(exits: ExitCosts, options: TuneOptions) -> tuple[PathCosts, str]:
    from edgeexit.bench.path_costs import load_costs
    from edgeexit.evaluation.path_costs import PathCosts

    if options.costs is None:
        return PathCosts.in_macs(exits.exits), "Eq. 5"
    names = tuple(exit_.name for exit_ in exits.exits)
    return load_costs(options.costs, names), str(options.costs)


def _measure(folder: Path, chosen: dict[str, Any]) -> tuple[PathCosts, str]:
    from edgeexit.bench import BenchOptions
    from edgeexit.bench.path_costs import measured_costs

    bench = BenchOptions(**chosen, explain=False)
    report = bench_with_bar(folder, None, bench)
    device = report.device
    calls = report.baseline.latency.count
    source = f"medians of {calls} calls on {device.cpu}, {device.backend_device}, batch 1"
    remark(f"measured: {source}")
    return measured_costs(report), source
