"""Bundle -> report."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from edgeexit_runtime import Manifest, Session, load, load_baseline
from numpy.typing import NDArray

from edgeexit.bench.advising import advise
from edgeexit.bench.candidates import (
    Candidate,
    baseline_candidate,
    early_exit_candidate,
    with_exits_off,
)
from edgeexit.bench.device import cores_available, cpu_model
from edgeexit.bench.energy_turns import forced_paths, measure_energy
from edgeexit.bench.explaining import Explainer
from edgeexit.bench.images import BenchImages
from edgeexit.bench.iso_accuracy import IsoAccuracyChoice, choose_iso_accuracy
from edgeexit.bench.mixture import measure_mixture
from edgeexit.bench.paths import measure_paths
from edgeexit.bench.predictions import predict_exits
from edgeexit.bench.report import BenchOptions, BenchReport, BundleInfo, DeviceInfo
from edgeexit.bench.scenario_runs import check_scenarios, measure_scenarios
from edgeexit.bench.sensors import SYSFS, find_meters, open_gpu, read_state
from edgeexit.bench.state import StateWatch
from edgeexit.bench.steadiness import Steadiness, find_drift
from edgeexit.bench.turns import Progress
from edgeexit.bench.versus import open_versus
from edgeexit.errors import InputError

if TYPE_CHECKING:
    from edgeexit.evaluation import ExitPredictions

__all__ = ["run_bench"]

SYNTHETIC = "a synthetic image"
NVIDIA = ("CUDA", "Tensorrt", "TensorRT")  # in the names of what runs on NVIDIA's GPUs


def run_bench(
    engine_dir: str | Path,
    images: BenchImages | None,
    options: BenchOptions,
    progress: Progress = lambda step, done: None,
    sysfs: Path | None = None,
) -> BenchReport:
    """Measure the bundle in ``engine_dir``, which must hold the plain backbone too.

    Args:
        engine_dir: the bundle's folder.
        images: real ones, for the mixture; None where forced paths alone are wanted, which are
            then timed on one synthetic image.
        options: how to measure.
        progress: told what is being measured and which fraction of it, 0 to 1, is done.
        sysfs: where the device tells of its energy, clocks, temperatures and throttling; None for
            this machine's.

    Raises:
        BundleError: the folder holds no bundle, or one without the plain backbone.
        BackendError: what should run it is not there.
        InputError: the images, or what it is compared with, do not fit the bundle, or images
            are missing or too few for a scenario.
        DataError: the ONNX file that it is compared with is none.
    """
    chosen: dict[str, Any] = {
        "backend": options.backend,
        "providers": options.providers,
        "threads": options.threads,
    }
    sysfs = sysfs or SYSFS
    check_scenarios(images, options)
    if images is None and options.versus is not None:
        raise InputError(
            "versus: expected real images, got none: two networks are compared by what they make "
            "of the same ones; give --dataset, --images or --npz"
        )
    with ExitStack() as stack:
        baseline = stack.enter_context(load_baseline(engine_dir, **chosen))
        session = stack.enter_context(load(engine_dir, **chosen))
        compared = [baseline_candidate(baseline), early_exit_candidate(session)]
        if options.versus is not None:
            opened = open_versus(Path(options.versus), session.manifest, chosen)
            compared.append(stack.enter_context(opened))
        if images is None:
            image = _synthetic_image(session.manifest, options.seed)
        else:
            image = images.images[:1]
        gpu, gpu_note = open_gpu() if _on_nvidia(session) else (None, None)
        watch = StateWatch(partial(read_state, sysfs, gpu))
        progress = watch.during(progress)
        explainer = Explainer(engine_dir, session, baseline, image) if options.explain else None
        turns = explainer.turns if explainer is not None else []
        times = measure_paths(session, baseline, image, options, progress, turns)
        drift = find_drift("paths", times.baseline.times_ms)
        report = BenchReport(
            bundle=_bundle_info(engine_dir, session.manifest),
            device=_device_info(session, options),
            options=options,
            parts=times.parts,
            baseline=times.baseline,
            paths=times.paths,
            mixture=None,
            steadiness=Steadiness(times.warm_up, () if drift is None else (drift,)),
        )
        predictions = _predictions(session, images, options)
        if images is not None:
            report = _with_images(report, compared, images, predictions, progress)
        if explainer is not None:
            explanation = explainer.explain(times, report.mixture)
            advice, no_advice = advise(report, session.manifest, images, predictions)
            report = dataclasses.replace(
                report, explanation=explanation, advice=advice, no_advice=no_advice
            )
        energy = measure_energy(
            forced_paths(session, baseline) if images is None else compared,
            image if images is None else images.images,
            SYNTHETIC if images is None else images.source,
            find_meters(sysfs, gpu, gpu_note),
            options,
            progress,
        )
        return dataclasses.replace(report, energy=energy, state=watch.finish())


def _predictions(
    session: Session, images: BenchImages | None, options: BenchOptions
) -> ExitPredictions | None:
    """Return what every exit says of images with labels, where somebody asks for it."""
    asked = options.explain or options.versus is not None
    if not asked or images is None or images.labels is None:
        return None
    return predict_exits(session, images)


def _with_images(
    report: BenchReport,
    compared: Sequence[Candidate],
    images: BenchImages,
    predictions: ExitPredictions | None,
    progress: Progress,
) -> BenchReport:
    """Add what needs real images.

    Args:
        report: with the paths' times.
        compared: the baseline, early exit, and another model where one was named.
        images: real ones.
        predictions: of every exit for these images; None where they have no labels.
        progress: told how far it is.
    """
    options = report.options
    baseline, early_exit, *versus = compared
    choice = None
    for other in versus:
        choice = _iso_accuracy(report, early_exit, other, images, predictions, progress)
    matched = [choice.candidate] if choice is not None and choice.candidate is not None else []
    candidates = (baseline, early_exit, *with_exits_off(early_exit), *versus, *matched)
    mixture, drift = measure_mixture(candidates, images, options, progress, choice)
    assert report.steadiness is not None
    drifts = (*report.steadiness.drifts, *([drift] if drift is not None else []))
    return dataclasses.replace(
        report,
        mixture=mixture,
        scenarios=measure_scenarios(compared, mixture, images, options, progress),
        steadiness=dataclasses.replace(report.steadiness, drifts=drifts),
    )


def _iso_accuracy(
    report: BenchReport,
    early_exit: Candidate,
    versus: Candidate,
    images: BenchImages,
    predictions: ExitPredictions | None,
    progress: Progress,
) -> IsoAccuracyChoice | None:
    if predictions is None:
        return None
    from edgeexit.evaluation.cost_files import costs_of_report  # imports torch

    costs, seed = costs_of_report(report), report.options.seed
    return choose_iso_accuracy(
        early_exit, versus, images, predictions, costs, seed, partial(progress, "thresholds")
    )


def _on_nvidia(session: Session) -> bool:
    return any(word in session.device for word in NVIDIA)


def _synthetic_image(manifest: Manifest, seed: int) -> NDArray[np.float32]:
    """Return noise (1, C, H, W) on the scale of a normalized image: for time alone, no answers."""
    shape = (1, *manifest.preprocessing.input_size)
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def _bundle_info(engine_dir: str | Path, manifest: Manifest) -> BundleInfo:
    model = manifest.model
    return BundleInfo(
        folder=str(engine_dir),
        backbone=model.backbone,
        branches=model.branches,
        num_classes=model.num_classes,
        precision=manifest.precision,
        input_size=manifest.preprocessing.input_size,
        thresholds=manifest.thresholds,
        versions=manifest.versions,
    )


def _device_info(session: Session, options: BenchOptions) -> DeviceInfo:
    packages = ("edgeexit", "edgeexit-runtime", "numpy")
    return DeviceInfo(
        cpu=cpu_model(),
        cores=cores_available(),
        system=platform.platform(),
        backend_device=session.device,
        threads=options.threads,
        versions={
            **session.runner.versions,
            **{name: importlib.metadata.version(name) for name in packages},
            "python": platform.python_version(),
        },
    )
