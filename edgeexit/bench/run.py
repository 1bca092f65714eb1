"""Bundle -> report."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from edgeexit_runtime import Manifest, Session, load, load_baseline
from edgeexit_runtime.backends.base import NVIDIA
from edgeexit_runtime.progress import Progress, untold
from numpy.typing import NDArray

from edgeexit.bench.advice.advise import advise
from edgeexit.bench.advice.iso_accuracy import choose_iso_accuracy, judge_iso_accuracy
from edgeexit.bench.advice.predictions import predict_exits
from edgeexit.bench.device import SYSFS, find_meters, open_gpu, read_state
from edgeexit.bench.device.info import device_info
from edgeexit.bench.device.watch import StateWatch
from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.mixture import VERSUS, Mixture
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.report import BenchReport, BundleInfo
from edgeexit.bench.roofline.explain import explainer_of
from edgeexit.bench.timing.backends import judge_backends, open_others, plan_backends, with_backend
from edgeexit.bench.timing.candidates import (
    Candidate,
    baseline_candidate,
    early_exit_candidate,
    with_exits_off,
)
from edgeexit.bench.timing.energy import forced_paths, measure_energy
from edgeexit.bench.timing.mixture import measure_mixture
from edgeexit.bench.timing.paths import PathTimes, measure_paths
from edgeexit.bench.timing.scenarios import check_scenarios, measure_scenarios
from edgeexit.bench.timing.versus import open_versus
from edgeexit.errors import InputError
from edgeexit.statistics.drift import Drift, find_drift

if TYPE_CHECKING:
    from edgeexit.evaluation import ExitPredictions

SYNTHETIC = "a synthetic image"


def run_bench(
    engine_dir: str | Path,
    images: BenchImages | None,
    options: BenchOptions,
    progress: Progress = untold,
    sysfs: str | Path | None = None,
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
        InputError: the images, or what it is compared with, do not fit the bundle, images are
            missing or too few for a scenario, or a backend that was named does not run it.
        DataError: the ONNX file that it is compared with is none.
    """
    plan = plan_backends(engine_dir, options)
    chosen: dict[str, Any] = {
        "backend": options.backend,
        "providers": options.providers,
        "threads": options.threads,
        "device": options.device,
    }
    if plan is not None:
        chosen = with_backend(chosen, plan.measured)
    sysfs = Path(sysfs or SYSFS)
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
        compared = [baseline_candidate(baseline), early_exit_candidate(session)]
        if options.versus is not None:
            opened = open_versus(Path(options.versus), manifest, chosen)
            compared.append(stack.enter_context(opened))
        others = stack.enter_context(open_others(engine_dir, plan, chosen))
        compared += [other.candidate for other in others]
        on_nvidia = session.runner.hardware.maker == NVIDIA
        gpu, gpu_note = open_gpu() if on_nvidia else (None, None)
        watch = StateWatch(partial(read_state, sysfs, gpu))
        progress = watch.during(progress)
        image = _synthetic_image(manifest, options) if images is None else images.images[:1]
        explainer = explainer_of(engine_dir, session, baseline, image) if options.explain else None
        turns = explainer.turns if explainer is not None else []
        turns += [turn for other in others for turn in other.turns(image)]
        times = measure_paths(session, baseline, image, options, progress, turns)
        drifts = [find_drift("paths", times.baseline.times_ms)]
        predictions = _predictions(session, images, options)
        mixture = scenarios = explanation = advice = no_advice = None
        if images is not None:
            mixture, drift = _mixture(compared, images, predictions, times, options, progress)
            drifts.append(drift)
            scenarios = measure_scenarios(compared, mixture, images, options, progress)
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
            device=device_info(session),
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
            backends=judge_backends(plan, others, times, mixture),
        )


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


def _mixture(
    compared: Sequence[Candidate],
    images: BenchImages,
    predictions: ExitPredictions | None,
    times: PathTimes,
    options: BenchOptions,
    progress: Progress,
) -> tuple[Mixture, Drift | None]:
    """Run the images through all that is compared, and variants of early exit beside it.

    Returns:
        The mixture, and how the baseline's speed drifted, None where that was too short.
    """
    baseline, early_exit, *others = compared
    versus = [candidate for candidate in others if candidate.role == VERSUS]
    choice, matched = None, []
    if versus and predictions is not None:
        from edgeexit.bench.path_costs import measured_costs  # imports torch

        costs = measured_costs(times)
        choice = choose_iso_accuracy(
            early_exit, versus[0], images, predictions, costs, options.seed, progress
        )
    if choice is not None and choice.candidate is not None:
        matched = [choice.candidate]
    candidates = (baseline, early_exit, *with_exits_off(early_exit), *others, *matched)
    mixture, passes = measure_mixture(candidates, images, options, progress)
    if choice is not None:
        iso_accuracy = judge_iso_accuracy(choice, passes)
        mixture = dataclasses.replace(mixture, iso_accuracy=iso_accuracy)
    return mixture, find_drift("mixture", passes.runs[0].times_ms.tolist())


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
        guarantee=manifest.guarantee,
    )
