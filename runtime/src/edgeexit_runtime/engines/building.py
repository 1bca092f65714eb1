"""Build a bundle's TensorRT engines, on the device that runs them or ahead of time.

    from edgeexit_runtime.engines.building import build_engines

    build_engines("out/")  # engines that still fit are kept

An engine belongs to one version of TensorRT, one kind of GPU and one ONNX file, which the manifest
records. An engine that does not fit is reported, never run, and rebuilt only on request.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from edgeexit_runtime.backends.tensorrt.engine_check import (
    Here,
    find_engine,
    misfit,
    require_use_here,
)
from edgeexit_runtime.backends.tensorrt.library import AUTO, PORTABLE, RTX
from edgeexit_runtime.backends.tensorrt.versions import TensorRt, open_library
from edgeexit_runtime.bundle.engine_entry import (
    ENGINE_SUFFIX,
    FROM_NETWORK,
    EngineEntry,
    EngineOptions,
)
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import Manifest, load_manifest
from edgeexit_runtime.bundle.quantization_entry import CLASSIFIER, GPU
from edgeexit_runtime.engines.files import (
    TIMING_CACHE,
    TIMING_CACHE_MAX_BYTES,
    explained,
    free_name,
    put_in_place,
    remove_leftovers,
    write_file,
)
from edgeexit_runtime.engines.graph_build import BuiltEngine, GraphBuild, Plan, Report
from edgeexit_runtime.errors import BackendError, BundleError, InputError
from edgeexit_runtime.progress import Progress, ignore_progress
from edgeexit_runtime.system.files import read_cache, sync, temporary_path
from edgeexit_runtime.system.locks import lock_folder


@dataclass(frozen=True, slots=True)
class EngineReport:
    """An engine after a build: ``seconds`` and ``reason`` are None if it was kept."""

    entry: EngineEntry
    seconds: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The result of a build, graph by graph."""

    folder: Path
    library: str
    engines: tuple[EngineReport, ...]

    @property
    def built(self) -> int:
        """Number of engines built; the others were kept."""
        return sum(engine.seconds is not None for engine in self.engines)


def build_engines(
    folder: str | Path,
    options: EngineOptions | None = None,
    *,
    library: str = AUTO,
    compute_capability: str | None = None,
    rebuild: bool = False,
    progress: Progress = ignore_progress,
) -> BuildReport:
    """Build the engines of a bundle that are missing or do not fit, one after another.

    After the last one is built, all are put in place and the manifest is written last; until then
    the bundle is unchanged.

    Args:
        folder: the bundle.
        options: build options; None for the defaults.
        library: ``tensorrt``, ``tensorrt-rtx``, or ``auto`` for the one that can build here.
        compute_capability: with TensorRT-RTX, of the GPUs to build for, such as ``8.0``; None for
            all of ``PORTABLE_CAPABILITIES``.
        rebuild: build all engines, even those that fit.
        progress: progress callback.

    Raises:
        InputError: an option does not fit the bundle or the library.
        BackendError: the library is missing, cannot build for this GPU, or a build failed.
        BusyError: another process builds, tunes or replaces the bundle.
        BundleError: the folder is not a bundle, a file was changed, or it cannot be written to.
    """
    folder = Path(folder)
    options = options or EngineOptions()
    bundle = Bundle(folder, load_manifest(folder))
    _check_bundle(options, bundle)
    trt = open_library(library, compute_capability)
    trt.check(options, compute_capability)
    place = Here(trt.library.name, trt.version, trt.require_place())
    if library == AUTO and compute_capability is None and place.gpu is not None:
        require_use_here(trt, place.gpu)  # a named library may build for another machine
    plan = Plan(place, options, compute_capability)
    reasons = _reasons(bundle, plan, rebuild)
    if not any(reasons.values()):  # nothing to build: a read-only folder is fine
        return BuildReport(folder, trt.title, _build_all(bundle, trt, plan, reasons, progress))
    with lock_folder(folder):
        bundle = Bundle(folder, load_manifest(folder))  # another build may just have ended
        _check_bundle(options, bundle)
        remove_leftovers(bundle)
        reasons = _reasons(bundle, plan, rebuild)
        reports = _build_all(bundle, trt, plan, reasons, progress)
    return BuildReport(folder, trt.title, reports)


def describe(report: BuildReport) -> list[str]:
    """Return a report to print: a line for each engine and one for all."""
    lines = []
    for engine in report.engines:
        entry = engine.entry
        layers = ", ".join(f"{share:.0%} {name}" for name, share in entry.layers.items())
        seconds, reason = engine.seconds, engine.reason
        what = "kept, it fits" if seconds is None else f"{seconds:.1f} s, {reason}"
        lines.append(f"{entry.file}: {entry.size_bytes / 1e6:.2f} MB, layers {layers} ({what})")
    if FROM_NETWORK in {engine.entry.layers_from for engine in report.engines}:
        lines.append(
            "layers are the strongly typed network's: the engines were not loaded here, or do not "
            "report theirs"
        )
    lines += without_int8_kernel(report)
    kept = len(report.engines) - report.built
    lines.append(f"{report.folder}: {report.built} engines built, {kept} kept, {report.library}")
    return lines


def without_int8_kernel(report: BuildReport) -> list[str]:
    """Return lines to print about an INT8 bundle's convolutions that are in floating point."""
    return [
        f"{engine.entry.graph}: {report.library} has no INT8 kernel for "
        f"{', '.join(engine.entry.floating)}: computed in floating point"
        for engine in report.engines
        if engine.entry.floating
    ]


def _check_bundle(options: EngineOptions, bundle: Bundle) -> None:
    """Check that TensorRT can build the bundle."""
    manifest = bundle.manifest
    quantization = manifest.quantization
    if quantization is not None and quantization.extent == CLASSIFIER:
        raise InputError(
            f"{bundle.folder}: its classifiers are quantized for CPUs, with operators that "
            "TensorRT does not have; export it with --quantize all"
        )
    target = quantization.target if quantization is not None else None
    if target is not None and target.engine != GPU:
        raise InputError(
            f"{bundle.folder}: it is quantized for --target {target.name}, with types that "
            "TensorRT does not have; export it with --target tensorrt"
        )
    if options.opt_batch > manifest.max_batch:
        raise InputError(
            f"opt batch: expected 1 to {manifest.max_batch}, the bundle's largest, got "
            f"{options.opt_batch}"
        )


def _build_all(
    bundle: Bundle,
    trt: TensorRt,
    plan: Plan,
    reasons: dict[str, str | None],
    progress: Progress,
) -> tuple[EngineReport, ...]:
    kept = {entry.graph: entry for entry in bundle.manifest.engines}
    total = sum(reason is not None for reason in reasons.values())
    reports: list[EngineReport] = []
    written: dict[Path, EngineEntry] = {}
    with contextlib.ExitStack() as leftovers:
        for name, reason in reasons.items():
            if reason is None:
                reports.append(EngineReport(kept[name], None, None))
                continue
            done = len(written)

            def report(phase: str, share: float, name: str = name, done: int = done) -> None:
                progress(f"{name}: {phase}", (done + share) / total)

            report("reading", 0.0)
            started = time.perf_counter()
            temporary = temporary_path(bundle.folder / f"{name}{ENGINE_SUFFIX}")
            leftovers.callback(temporary.unlink, missing_ok=True)
            written[temporary] = _build_one(bundle, trt, name, plan, temporary, report)
            reports.append(EngineReport(written[temporary], time.perf_counter() - started, reason))
        engines = tuple(report.entry for report in reports)
        _require_some_int8(bundle, engines)
        progress("writing", 1.0)
        if written:
            put_in_place(bundle, written, engines)
    return tuple(reports)


def _build_one(
    bundle: Bundle, trt: TensorRt, name: str, plan: Plan, output: Path, report: Report
) -> EngineEntry:
    """Build one engine into a file, and keep nothing of it in memory."""
    manifest = bundle.manifest
    cache = bundle.folder / TIMING_CACHE
    measured = read_cache(cache, TIMING_CACHE_MAX_BYTES)
    content = bundle.read(manifest.all_graphs()[name])
    engine = GraphBuild(trt, plan, manifest, name).run(content, measured, report)
    if engine.timing_cache:  # saved now: if a later engine fails, the next build is faster
        write_file(cache, engine.timing_cache)
    with explained(output):
        output.write_bytes(engine.content)
        sync(output)
    return _entry(manifest, trt, name, plan, engine)


def _entry(
    manifest: Manifest, trt: TensorRt, name: str, plan: Plan, engine: BuiltEngine
) -> EngineEntry:
    gpu = None if trt.is_rtx else plan.place.gpu  # TensorRT-RTX's engines are of no single GPU
    content = memoryview(engine.content)
    sha256 = hashlib.sha256(content).hexdigest()
    return EngineEntry(
        graph=name,
        file=free_name(manifest, name, sha256),
        sha256=sha256,
        size_bytes=content.nbytes,
        onnx_sha256=manifest.all_graphs()[name].sha256,
        library=trt.library.name,
        version=trt.version,
        gpu=gpu.name if gpu is not None else None,
        compute_capability=gpu.compute_capability if gpu else plan.compute_capability,
        precision=manifest.precision,
        max_batch=manifest.max_batch,
        options=plan.options,
        layers={precision: round(share, 4) for precision, share in engine.layers.items()},
        layers_from=engine.layers_from,
        floating=engine.floating,
        multiprocessors=gpu.multiprocessors if gpu is not None else None,
        memory_gib=gpu.memory_gib if gpu is not None else None,
        platform=plan.place.platform if gpu is not None else None,
        l4t=plan.place.l4t if gpu is not None else None,
    )


def _reasons(bundle: Bundle, plan: Plan, rebuild: bool) -> dict[str, str | None]:
    """Return for every graph why its engine must be built; None if it is kept."""
    return {
        name: "asked to" if rebuild else _reason(bundle, name, plan)
        for name in bundle.manifest.all_graphs()
    }


def _reason(bundle: Bundle, name: str, plan: Plan) -> str | None:
    """Return why a graph's engine must be built; None if it is intact and as wanted."""
    entry = find_engine(bundle.manifest, name)
    if entry is None:
        return "not built yet"
    unfit = misfit(entry, bundle.manifest, plan.place)
    if unfit is not None:
        return unfit
    if plan.place.library == RTX and entry.compute_capability != plan.compute_capability:
        built, asked = _gpus(entry.compute_capability), _gpus(plan.compute_capability)
        return f"built for {built}, asked for {asked}"
    for field in dataclasses.fields(EngineOptions):
        before, now = getattr(entry.options, field.name), getattr(plan.options, field.name)
        if before != now:
            return f"built with {field.name.replace('_', ' ')} {before}, asked for {now}"
    try:
        bundle.read(entry)
    except BundleError as error:
        return str(error).partition(": ")[2].partition(";")[0]
    return None


def _gpus(compute_capability: str | None) -> str:
    if compute_capability is None:
        return f"compute capabilities {PORTABLE}"
    return f"compute capability {compute_capability}"


def _require_some_int8(bundle: Bundle, engines: tuple[EngineEntry, ...]) -> None:
    """Check that an engine of an INT8 bundle has INT8 layers; some graphs may have none."""
    if bundle.manifest.precision == "int8" and not any("int8" in e.layers for e in engines):
        raise BackendError(
            f"{bundle.folder}: the bundle is int8, but no layer of any engine is; export it again"
        )
