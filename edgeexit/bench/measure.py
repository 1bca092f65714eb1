"""Bundle -> report."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from edgeexit_runtime import Manifest, Session, load, load_baseline
from numpy.typing import NDArray

from edgeexit.bench.advising import advise
from edgeexit.bench.alternatives import CHAIN, PLAIN, Alternative, with_exits_off
from edgeexit.bench.device import cores_available, cpu_model
from edgeexit.bench.energy_turns import forced_paths, measure_energy, mixture_set
from edgeexit.bench.explaining import Explainer
from edgeexit.bench.images import BenchImages
from edgeexit.bench.matched import Choice, choose_matched
from edgeexit.bench.mixture import measure_mixture
from edgeexit.bench.paths import measure_paths
from edgeexit.bench.report import BenchOptions, BenchReport, BundleInfo, DeviceInfo
from edgeexit.bench.scenario_runs import check_scenarios, measure_scenarios
from edgeexit.bench.sensors import SYSFS, find_meters, open_gpu, read_state
from edgeexit.bench.state import StateWatch
from edgeexit.bench.steadiness import Steadiness, find_drift
from edgeexit.bench.turns import Progress
from edgeexit.bench.versus import open_versus
from edgeexit.errors import InputError

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
        plain = stack.enter_context(load_baseline(engine_dir, **chosen))
        chain = stack.enter_context(load(engine_dir, **chosen))
        versus = None
        if options.versus is not None:
            opened = open_versus(Path(options.versus), chain.manifest, chosen)
            versus = stack.enter_context(opened)
        if images is None:
            image = _synthetic_image(chain.manifest, options.seed)
        else:
            image = images.images[:1]
        gpu, gpu_note = open_gpu() if _on_nvidia(chain) else (None, None)
        watch = StateWatch(partial(read_state, sysfs, gpu))
        progress = watch.during(progress)
        explainer = Explainer(engine_dir, chain, plain, image) if options.explain else None
        turns = explainer.turns if explainer is not None else []
        times = measure_paths(chain, plain, image, options, progress, turns)
        drift = find_drift("paths", times.baseline.times_ms)
        report = BenchReport(
            bundle=_bundle_info(engine_dir, chain.manifest),
            device=_device_info(chain, options),
            options=options,
            parts=times.parts,
            baseline=times.baseline,
            paths=times.paths,
            mixture=None,
            steadiness=Steadiness(times.warm_up, () if drift is None else (drift,)),
        )
        if images is not None:
            report = _with_images(report, chain, plain, versus, images, progress)
        if explainer is not None:
            explanation = explainer.explain(times, report.mixture)
            advice, no_advice = advise(report, chain, images)
            report = dataclasses.replace(
                report, explanation=explanation, advice=advice, no_advice=no_advice
            )
        energy = measure_energy(
            forced_paths(chain, plain) if images is None else mixture_set(chain, plain, versus),
            image if images is None else images.images,
            SYNTHETIC if images is None else images.source,
            find_meters(sysfs, gpu, gpu_note),
            options,
            progress,
        )
        return dataclasses.replace(report, energy=energy, state=watch.finish())


def _with_images(
    report: BenchReport,
    chain: Session,
    plain: Session,
    versus: Alternative | None,
    images: BenchImages,
    progress: Progress,
) -> BenchReport:
    """Add what needs real images."""
    options = report.options
    ours = Alternative(CHAIN, chain, chain.manifest.thresholds)
    theirs = Alternative(PLAIN, plain, {})
    others = list(with_exits_off(ours))
    choice = None
    if versus is not None:
        others.append(versus)
        choice = _choice(report, ours, versus, images, progress)
        if choice is not None and choice.alternative is not None:
            others.append(choice.alternative)
    mixture, drift = measure_mixture(ours, theirs, others, images, options, progress, choice)
    compared = [theirs, ours, *([versus] if versus is not None else [])]
    assert report.steadiness is not None
    drifts = (*report.steadiness.drifts, *([drift] if drift is not None else []))
    return dataclasses.replace(
        report,
        mixture=mixture,
        scenarios=measure_scenarios(compared, mixture, images, options, progress),
        steadiness=dataclasses.replace(report.steadiness, drifts=drifts),
    )


def _choice(
    report: BenchReport,
    chain: Alternative,
    versus: Alternative,
    images: BenchImages,
    progress: Progress,
) -> Choice | None:
    if images.labels is None:
        return None
    from edgeexit.evaluation.cost_files import costs_of_report  # imports torch

    costs, seed = costs_of_report(report), report.options.seed
    return choose_matched(
        chain, versus, images, costs, seed, lambda done: progress("thresholds", done)
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
