"""Bundle -> report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from edgeexit_runtime import Manifest, load_manifest
from edgeexit_runtime.progress import Progress, ignore_progress
from numpy.typing import NDArray

from edgeexit.bench.advice.advise import advise
from edgeexit.bench.advice.basis import Basis, basis_of
from edgeexit.bench.advice.iso_accuracy import choose_iso_accuracy, judge_iso_accuracy
from edgeexit.bench.device.info import device_info
from edgeexit.bench.device.sysfs import SYSFS
from edgeexit.bench.device.watch import Device, device_of
from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.mixture import ONE_BY_ONE, Mixture
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.report import BenchReport, BundleInfo
from edgeexit.bench.timing.backends import BackendPlan, judge_backends, plan_backends
from edgeexit.bench.timing.candidates import with_exits_off
from edgeexit.bench.timing.energy import forced_paths, measure_energy
from edgeexit.bench.timing.mixture import mixture_of
from edgeexit.bench.timing.opened import Opened, open_candidates
from edgeexit.bench.timing.passes import take_passes
from edgeexit.bench.timing.paths import PathTimes, measure_paths
from edgeexit.bench.timing.scenarios import check_scenarios, measure_scenarios
from edgeexit.errors import BundleError, InputError
from edgeexit.statistics.drift import Drift, find_drift

if TYPE_CHECKING:
    from edgeexit.bench.roofline.explain import Explainer


def run_bench(
    engine_dir: str | Path,
    images: BenchImages | None,
    options: BenchOptions,
    progress: Progress = ignore_progress,
    sysfs: str | Path | None = None,
) -> BenchReport:
    """Measure the bundle in ``engine_dir``, which must include the plain backbone.

    Args:
        engine_dir: the bundle's folder.
        images: real images, for the mixture; None measures only the forced paths, on one
            synthetic image.
        options: how to measure.
        progress: called with the name of the current measurement and its finished fraction,
            0 to 1.
        sysfs: root of the sysfs tree with energy, clocks, temperatures and throttling; None for
            this machine's.

    Raises:
        BundleError: the folder holds no bundle, or one without the plain backbone, or it was
            replaced while it was opened.
        BackendError: the backend is not available.
        InputError: the images or the model of ``versus`` do not fit the bundle, images are
            missing, too few for a scenario, or prepared for another bundle, or a named backend
            cannot run the bundle.
        DataError: the file of ``versus`` is no ONNX model.
    """
    check_scenarios(images, options)
    if images is None and options.versus is not None:
        raise InputError(
            "versus: expected real images, got none: two networks are compared on the same "
            "images; give --dataset, --images or --npz"
        )
    plan = plan_backends(engine_dir, options)
    with open_candidates(engine_dir, plan, options) as opened:
        device = device_of(opened.early_exit.session, Path(sysfs or SYSFS))
        watched = device.watch.during(progress)
        return _measure(engine_dir, plan, opened, device, images, options, watched)


def _measure(
    engine_dir: str | Path,
    plan: BackendPlan,
    opened: Opened,
    device: Device,
    images: BenchImages | None,
    options: BenchOptions,
    progress: Progress,
) -> BenchReport:
    session, baseline = opened.early_exit.session, opened.baseline.session
    manifest = session.manifest
    shown = _noise(manifest, options.seed) if images is None else images
    image = shown.images[:1]
    explainer = _explainer(engine_dir, opened, image) if options.explain else None
    _check_one_bundle(engine_dir, opened, shown)
    turns = [] if explainer is None else [*explainer.turns]
    turns += [turn for other in opened.backends for turn in other.turns(image)]
    times = measure_paths(session, baseline, image, options, progress, turns)

    basis = _basis(opened, images, times, options)
    mixture = drift = scenarios = None
    if images is not None:
        mixture, drift = _run_images(opened, images, basis, options, progress)
        scenarios = measure_scenarios(opened.compared, mixture, images, options, progress)
    explanation = advice = no_advice = None
    if explainer is not None:
        explanation = explainer.explain(times, mixture)
        measured = replace(options, **options.loading(plan.measured))
        advice, no_advice = advise(engine_dir, manifest, times, basis, measured)
    consumers = (opened.baseline, *forced_paths(session)) if images is None else opened.compared
    energy = measure_energy(consumers, shown, device.meters, options, progress)
    drifts = find_drift("paths", times.baseline.times_ms), drift
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
        state=device.watch.finish(),
        backends=judge_backends(plan, opened.backends, times, mixture),
    )


def _explainer(engine_dir: str | Path, opened: Opened, image: NDArray[np.float32]) -> Explainer:
    from edgeexit.bench.roofline.explain import explainer_of  # imports onnx

    return explainer_of(engine_dir, opened.early_exit.session, opened.baseline.session, image)


def _check_one_bundle(engine_dir: str | Path, opened: Opened, images: BenchImages) -> None:
    """Check that all that was opened, one after another, is of the bundle that is there now."""
    now = load_manifest(engine_dir)
    candidates = [opened.early_exit, *(other.candidate for other in opened.backends)]
    baselines = [opened.baseline.session, *(other.baseline for other in opened.backends)]
    if not all(candidate.session.manifest == now for candidate in candidates) or not all(
        baseline.manifest.exits == (now.baseline,) for baseline in baselines
    ):
        raise BundleError(f"{engine_dir}: was replaced while it was opened; run it again")
    made = images.manifest or now
    if (made.preprocessing, made.class_names) != (now.preprocessing, now.class_names):
        raise InputError(
            f"{images.source}: prepared for a bundle with other preprocessing or classes than "
            f"{engine_dir}; choose the images again"
        )


def _noise(manifest: Manifest, seed: int) -> BenchImages:
    """Return a random image (1, C, H, W) scaled like a normalized one; only good for timing."""
    shape = (1, *manifest.preprocessing.input_size)
    noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return BenchImages("a synthetic image", noise, None)


def _basis(
    opened: Opened, images: BenchImages | None, times: PathTimes, options: BenchOptions
) -> Basis | str:
    """Return the basis for choosing thresholds, or the reason why there is none."""
    if not options.explain and opened.versus is None:
        return "no choice of thresholds was requested"
    return basis_of(opened.early_exit.session, images, times)


def _run_images(
    opened: Opened,
    images: BenchImages,
    basis: Basis | str,
    options: BenchOptions,
    progress: Progress,
) -> tuple[Mixture, Drift | None]:
    """Run the images through all candidates and variants of early exit; return the drift too."""
    baseline, early_exit, *others = opened.compared
    choice = choose_iso_accuracy(early_exit, opened.versus, images, basis, options.seed, progress)
    candidates = [baseline, early_exit, *with_exits_off(early_exit), *others]
    if not isinstance(choice, str) and choice.candidate is not None:
        candidates.append(choice.candidate)
    runs = take_passes(candidates, images.images, 1, options, progress, ONE_BY_ONE)
    iso_accuracy = choice if isinstance(choice, str) else judge_iso_accuracy(choice, runs)
    drift = find_drift("mixture", runs[0].times_ms.tolist())
    return mixture_of(runs, images, iso_accuracy), drift


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
