"""Bundle -> report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgeexit_runtime import Manifest
from edgeexit_runtime.progress import Progress, untold

from edgeexit.bench.advice.advise import advise
from edgeexit.bench.advice.basis import Basis, basis_of
from edgeexit.bench.advice.iso_accuracy import choose_iso_accuracy, judge_iso_accuracy
from edgeexit.bench.device import SYSFS, Device, device_of
from edgeexit.bench.device.info import device_info
from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.mixture import ONE_BY_ONE, Mixture
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.report import BenchReport, BundleInfo
from edgeexit.bench.results.scenarios import Scenarios
from edgeexit.bench.roofline.explain import explainer_of
from edgeexit.bench.timing.backend_plan import BackendPlan, plan_backends
from edgeexit.bench.timing.backends import judge_backends
from edgeexit.bench.timing.candidates import with_exits_off
from edgeexit.bench.timing.energy import forced_paths, measure_energy
from edgeexit.bench.timing.mixture import mixture_of
from edgeexit.bench.timing.opened import Opened, open_candidates
from edgeexit.bench.timing.passes import take_passes
from edgeexit.bench.timing.paths import PathTimes, measure_paths
from edgeexit.bench.timing.scenarios.asked import check_scenarios, measure_scenarios
from edgeexit.bench.timing.versus import check_versus
from edgeexit.statistics.drift import Drift, find_drift


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
    check_scenarios(images, options)
    check_versus(images, options)
    plan = plan_backends(engine_dir, options)
    with open_candidates(engine_dir, plan, options) as opened:
        device = device_of(opened.early_exit.session, Path(sysfs or SYSFS))
        told = device.watch.during(progress)
        return _measure(engine_dir, plan, opened, device, images, options, told)


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
    explainer = explainer_of(engine_dir, session, baseline, image) if options.explain else None
    of_others = [turn for other in opened.backends for turn in other.turns(image)]
    turns = [*(() if explainer is None else explainer.turns), *of_others]
    times = measure_paths(session, baseline, image, options, progress, turns)

    basis = _basis(opened, images, times, options)
    on_images = _run_images(opened, images, basis, options, progress)
    explanation = advice = no_advice = None
    if explainer is not None:
        explanation = explainer.explain(times, on_images.mixture)
        advice, no_advice = advise(engine_dir, manifest, times, basis, options)
    consumers = forced_paths(session, baseline) if images is None else opened.compared
    energy = measure_energy(consumers, shown, device.meters, options, progress)
    drifts = find_drift("paths", times.baseline.times_ms), on_images.drift
    return BenchReport(
        bundle=_bundle_info(engine_dir, manifest),
        device=device_info(session),
        options=options,
        warm_up=times.warm_up,
        drifts=tuple(drift for drift in drifts if drift is not None),
        parts=times.parts,
        baseline=times.baseline,
        paths=times.paths,
        mixture=on_images.mixture,
        scenarios=on_images.scenarios,
        explanation=explanation,
        advice=advice,
        no_advice=no_advice,
        energy=energy,
        state=device.watch.finish(),
        backends=judge_backends(plan, opened.backends, times, on_images.mixture),
    )


def _noise(manifest: Manifest, seed: int) -> BenchImages:
    """Return one image (1, C, H, W) on the scale of a normalized one: for time, not for answers."""
    shape = (1, *manifest.preprocessing.input_size)
    noise = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return BenchImages("a synthetic image", noise, None)


def _basis(
    opened: Opened, images: BenchImages | None, times: PathTimes, options: BenchOptions
) -> Basis | str:
    """Return what thresholds are chosen by, where any are to be chosen."""
    if not options.explain and opened.versus is None:
        return "no thresholds are to be chosen"
    return basis_of(opened.early_exit.session, images, times)


@dataclass(frozen=True, slots=True)
class _OnImages:
    """What was found on real images; nothing where none were given."""

    mixture: Mixture | None = None
    drift: Drift | None = None
    scenarios: Scenarios | None = None


def _run_images(
    opened: Opened,
    images: BenchImages | None,
    basis: Basis | str,
    options: BenchOptions,
    progress: Progress,
) -> _OnImages:
    """Run the images through all that is compared, and variants of early exit beside it."""
    if images is None:
        return _OnImages()
    baseline, early_exit, *others = opened.compared
    choice = choose_iso_accuracy(early_exit, opened.versus, images, basis, options.seed, progress)
    candidates = [baseline, early_exit, *with_exits_off(early_exit), *others]
    if not isinstance(choice, str) and choice.candidate is not None:
        candidates.append(choice.candidate)
    passes = take_passes(candidates, images.images, 1, options, progress, ONE_BY_ONE)
    iso_accuracy = choice if isinstance(choice, str) else judge_iso_accuracy(choice, passes)
    mixture = mixture_of(passes, images, iso_accuracy)
    return _OnImages(
        mixture,
        find_drift("mixture", passes.runs[0].times_ms.tolist()),
        measure_scenarios(opened.compared, mixture, images, options, progress),
    )


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
