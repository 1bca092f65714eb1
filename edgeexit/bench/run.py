"""Bundle -> report."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from edgeexit_runtime import Manifest, Session, load, load_baseline
from numpy.typing import NDArray

from edgeexit.bench.advising import advise
from edgeexit.bench.candidates import baseline_candidate, early_exit_candidate
from edgeexit.bench.device import device_info
from edgeexit.bench.energy_turns import forced_paths, measure_energy
from edgeexit.bench.explaining import Explainer
from edgeexit.bench.images import BenchImages
from edgeexit.bench.iso_accuracy import choose_iso_accuracy
from edgeexit.bench.mixture import measure_mixture
from edgeexit.bench.paths import PathTimes, measure_paths
from edgeexit.bench.predictions import predict_exits
from edgeexit.bench.report import BenchOptions, BenchReport, BundleInfo
from edgeexit.bench.scenario_runs import check_scenarios, measure_scenarios
from edgeexit.bench.sensors import SYSFS, find_meters, open_gpu, read_state
from edgeexit.bench.state import StateWatch
from edgeexit.bench.turns import Progress
from edgeexit.bench.versus import open_versus
from edgeexit.errors import InputError
from edgeexit.statistics.drift import find_drift

if TYPE_CHECKING:
    from edgeexit.evaluation import ExitPredictions, PathCosts

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
        manifest = session.manifest
        early_exit, versus = early_exit_candidate(session), None
        compared = [baseline_candidate(baseline), early_exit]
        if options.versus is not None:
            versus = stack.enter_context(open_versus(Path(options.versus), manifest, chosen))
            compared.append(versus)
        gpu, gpu_note = open_gpu() if _on_nvidia(session) else (None, None)
        watch = StateWatch(partial(read_state, sysfs, gpu))
        progress = watch.during(progress)
        image = _synthetic_image(manifest, options) if images is None else images.images[:1]
        explainer = Explainer(engine_dir, session, baseline, image) if options.explain else None
        turns = explainer.turns if explainer is not None else []
        times = measure_paths(session, baseline, image, options, progress, turns)
        drifts = [find_drift("paths", times.baseline.times_ms)]
        predictions = _predictions(session, images, options)
        choice = mixture = scenarios = explanation = advice = no_advice = None
        if images is not None:
            if versus is not None and predictions is not None:
                choice = choose_iso_accuracy(
                    early_exit, versus, images, predictions, _costs(times), options.seed, progress
                )
            mixture, drift = measure_mixture(compared, images, options, progress, choice)
            scenarios = measure_scenarios(compared, mixture, images, options, progress)
            drifts.append(drift)
        if explainer is not None:
            explanation = explainer.explain(times, mixture)
            advice, no_advice = advise(engine_dir, manifest, times, images, predictions, options)
        energy = measure_energy(
            forced_paths(session, baseline) if images is None else compared,
            image if images is None else images.images,
            SYNTHETIC if images is None else images.source,
            find_meters(sysfs, gpu, gpu_note),
            options,
            progress,
        )
        return BenchReport(
            bundle=_bundle_info(engine_dir, manifest),
            device=device_info(session, options.threads),
            options=options,
            warm_up=times.warm_up,
            drifts=tuple(drift for drift in drifts if drift is not None),
            parts=times.parts,
            baseline=times.baseline,
            paths=times.paths,
            mixture=mixture,
            scenarios=scenarios,
            explanation=explanation,
            advice=advice,
            no_advice=no_advice,
            energy=energy,
            state=watch.finish(),
        )


def _on_nvidia(session: Session) -> bool:
    return any(word in session.device for word in NVIDIA)


def _synthetic_image(manifest: Manifest, options: BenchOptions) -> NDArray[np.float32]:
    """Return noise (1, C, H, W) on the scale of a normalized image: for time alone, no answers."""
    shape = (1, *manifest.preprocessing.input_size)
    return np.random.default_rng(options.seed).standard_normal(shape, np.float32)


def _predictions(
    session: Session, images: BenchImages | None, options: BenchOptions
) -> ExitPredictions | None:
    """Return what every exit says of images with labels, where somebody asks for it."""
    asked = options.explain or options.versus is not None
    if not asked or images is None or images.labels is None:
        return None
    return predict_exits(session, images)


def _costs(times: PathTimes) -> PathCosts:
    from edgeexit.bench.path_costs import measured_costs  # imports torch

    return measured_costs(times)


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
