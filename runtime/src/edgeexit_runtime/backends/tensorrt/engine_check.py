"""Check whether an engine that was built before fits this library and machine."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from edgeexit_runtime.backends.cuda.device import Gpu, find_gpu
from edgeexit_runtime.backends.tensorrt.library import (
    LIBRARIES,
    PORTABLE,
    PORTABLE_CAPABILITIES,
    RTX,
)
from edgeexit_runtime.backends.tensorrt.versions import TensorRt, open_library
from edgeexit_runtime.bundle.engine_entry import EngineEntry
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import Manifest
from edgeexit_runtime.errors import BackendError
from edgeexit_runtime.system.machine import l4t_version, this_platform

AMPERE = 8.0


@dataclass(frozen=True, slots=True)
class Here:
    """The library and machine that would load an engine.

    Attributes:
        library: the library's name.
        version: the library's full version.
        gpu: the machine's GPU, if there is one.
        platform: such as ``linux-aarch64``.
        l4t: the version of a Jetson's system; None on other machines.
    """

    library: str
    version: str
    gpu: Gpu | None
    platform: str = field(default_factory=this_platform)
    l4t: str | None = field(default_factory=l4t_version)


def open_for_this_gpu() -> TensorRt:
    """Import the library that builds engines for this machine's GPU.

    Raises:
        BackendError: there is no GPU, no library, or none that builds for the GPU.
    """
    gpu = find_gpu()
    if gpu is None:
        raise BackendError("there is no GPU here")
    trt = open_library()
    require_use_here(trt, gpu)
    return trt


def require_use_here(trt: TensorRt, gpu: Gpu) -> None:
    """Check that this machine's GPU can run the library's default engines; a build takes minutes.

    Raises:
        BackendError: it cannot run them unless they are built for it alone.
    """
    if not runs_on(None, gpu, trt.is_rtx):
        raise BackendError(
            f"{trt.title} builds for compute capabilities {PORTABLE}, this {gpu.name} has "
            f"{gpu.compute_capability}: {trt.how_to_build_for(gpu.compute_capability)}"
        )


def find_engine(manifest: Manifest, name: str) -> EngineEntry | None:
    """Return the engine that was built from a graph, if there is one."""
    return next((entry for entry in manifest.engines if entry.graph == name), None)


def check_engine(bundle: Bundle, name: str, place: Here) -> EngineEntry:
    """Return the engine of a graph, checked to fit ``place``; ``bundle.read`` returns its contents.

    Raises:
        BackendError: there is none, or it does not fit; the message says why.
    """
    entry = require_engine(bundle, name)
    reason = misfit(entry, bundle.manifest, place)
    if reason is not None:
        file = bundle.folder / entry.file
        raise BackendError(f"{file}: {reason}; run: {how_to_build(bundle.folder)}")
    return entry


def require_engine(bundle: Bundle, name: str) -> EngineEntry:
    """Return the engine of a graph, without checking whether it fits.

    Raises:
        BackendError: there is none.
    """
    entry = find_engine(bundle.manifest, name)
    if entry is None:
        raise BackendError(
            f"{bundle.folder}: no engine was built from {name}; run: {how_to_build(bundle.folder)}"
        )
    return entry


def how_to_build(bundle: Path) -> str:
    """Return the commands that build the engines of the bundle in a folder."""
    folder = shlex.quote(f"{bundle}/")
    return f"edgeexit build --engine-dir {folder}, or python -m edgeexit_runtime build {folder}"


def misfit(entry: EngineEntry, manifest: Manifest, place: Here) -> str | None:
    """Return why an engine must not run on ``place``; None if it may."""
    graph = manifest.all_graphs()[entry.graph]
    if entry.onnx_sha256 != graph.sha256:
        return f"{graph.file} was changed after the engine was built"
    if entry.precision != manifest.precision:
        return f"built in {entry.precision}, the bundle is {manifest.precision}"
    if entry.max_batch != manifest.max_batch:
        return f"built for batches up to {entry.max_batch}, the bundle has {manifest.max_batch}"
    if entry.library != place.library or not _reads(entry, place.version):
        return (
            f"built with {_title(entry.library)} {entry.version}, this is "
            f"{_title(place.library)} {place.version}"
        )
    if place.gpu is None:
        return None
    return _other_gpu(entry, place.gpu) or _other_machine(entry, place)


def _other_gpu(entry: EngineEntry, gpu: Gpu) -> str | None:
    level = entry.options.hardware_compatibility
    if level == "ampere+" and float(gpu.compute_capability) >= AMPERE:
        return None
    if not runs_on(entry.compute_capability, gpu, entry.library == RTX):
        built = entry.compute_capability or PORTABLE
        return f"built for compute capability {built}, this {gpu.name} has {gpu.compute_capability}"
    if entry.gpu is None or level != "none":
        return None
    if entry.gpu != gpu.name:
        return f"built on {entry.gpu}, this is {gpu.name}"
    for before, now, what in (
        (entry.multiprocessors, gpu.multiprocessors, "multiprocessors"),
        (entry.memory_gib, gpu.memory_gib, "GiB of memory"),
    ):
        if None not in (before, now) and before != now:
            return f"built on {entry.gpu} with {before} {what}, this one has {now}"
    return None


def _other_machine(entry: EngineEntry, place: Here) -> str | None:
    """Return how the machine differs; TensorRT-RTX's engines do not depend on it."""
    if entry.platform not in (None, place.platform):
        return f"built on {entry.platform}, this is {place.platform}"
    if entry.options.hardware_compatibility != "none" and place.l4t is not None:
        return "hardware compatible engines are not for a Jetson"
    if entry.platform is not None and _release(entry.l4t) != _release(place.l4t):
        return f"built on {_l4t(entry.l4t)}, this is {_l4t(place.l4t)}"
    return None


def _release(l4t: str | None) -> tuple[int, ...]:
    """Return the numbers that determine the driver; the last one counts updates."""
    return _numbers(l4t)[:2] if l4t else ()


def _l4t(version: str | None) -> str:
    return f"a Jetson with L4T {version}" if version else "a non-Jetson machine"


def runs_on(compute_capability: str | None, gpu: Gpu, is_rtx: bool) -> bool:
    """Whether an engine for this compute capability, or the library's default, runs on a GPU."""
    if compute_capability is None:
        return not is_rtx or gpu.compute_capability in PORTABLE_CAPABILITIES
    return compute_capability == gpu.compute_capability


def _reads(entry: EngineEntry, version: str) -> bool:
    """Whether a version of the library loads an engine: its own, or an older compatible one."""
    if entry.version == version:
        return True
    return entry.options.version_compatible and _numbers(entry.version) < _numbers(version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if re.fullmatch("[0-9]{1,9}", part))


def _title(library: str) -> str:
    return LIBRARIES[library].title if library in LIBRARIES else library
