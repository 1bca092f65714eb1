"""Bundle -> report."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from edgeexit_runtime import Manifest, Session, load, load_baseline
from numpy.typing import NDArray

from edgeexit.bench.advising import advise
from edgeexit.bench.device import cores_available, cpu_model
from edgeexit.bench.explaining import Explainer
from edgeexit.bench.images import BenchImages
from edgeexit.bench.mixture import measure_mixture
from edgeexit.bench.paths import measure_paths
from edgeexit.bench.report import BenchOptions, BenchReport, BundleInfo, DeviceInfo
from edgeexit.bench.turns import Progress

__all__ = ["run_bench"]


def run_bench(
    engine_dir: str | Path,
    images: BenchImages | None,
    options: BenchOptions,
    progress: Progress = lambda step, done: None,
) -> BenchReport:
    """Measure the bundle in ``engine_dir``, which must hold the plain backbone too.

    Args:
        engine_dir: the bundle's folder.
        images: real ones, for the mixture; None where forced paths alone are wanted, which are
            then timed on one synthetic image.
        options: how to measure.
        progress: told what is being measured and which fraction of it, 0 to 1, is done.

    Raises:
        BundleError: the folder holds no bundle, or one without the plain backbone.
        BackendError: what should run it is not there.
        InputError: the images do not fit the bundle.
    """
    chosen: dict[str, Any] = {
        "backend": options.backend,
        "providers": options.providers,
        "threads": options.threads,
    }
    with ExitStack() as stack:
        plain = stack.enter_context(load_baseline(engine_dir, **chosen))
        chain = stack.enter_context(load(engine_dir, **chosen))
        if images is None:
            image = _synthetic_image(chain.manifest, options.seed)
        else:
            image = images.images[:1]
        explainer = Explainer(engine_dir, chain, plain, image) if options.explain else None
        turns = explainer.turns if explainer is not None else []
        times = measure_paths(chain, plain, image, options, progress, turns)
        mixture = None
        if images is not None:
            mixture = measure_mixture(chain, plain, images, options, progress)
        report = BenchReport(
            bundle=_bundle_info(engine_dir, chain.manifest),
            device=_device_info(chain, options),
            options=options,
            parts=times.parts,
            baseline=times.baseline,
            paths=times.paths,
            mixture=mixture,
            explanation=None if explainer is None else explainer.explain(times, mixture),
        )
        if not options.explain:
            return report
        advice = advise(report, chain, images)
        if isinstance(advice, str):
            return dataclasses.replace(report, no_advice=advice)
        return dataclasses.replace(report, advice=advice)


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
