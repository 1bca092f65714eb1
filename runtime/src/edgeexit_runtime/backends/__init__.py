"""Ways to execute the graphs of a bundle, one file each, imported only when it is chosen.

A new backend is a file with a :class:`~edgeexit_runtime.backends.base.Runner` and an entry here.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from edgeexit_runtime.backends.base import Runner
from edgeexit_runtime.bundle import Bundle
from edgeexit_runtime.errors import BackendError, InputError

__all__ = ["AUTO", "BACKENDS", "Backend", "open_runner"]

AUTO = "auto"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a backend's runner is, and how the engine that it imports is installed."""

    module: str
    runner: str
    install: str


BACKENDS = {
    "onnxruntime": Backend(
        module="edgeexit_runtime.backends.onnxruntime",
        runner="OnnxRuntimeRunner",
        install="pip install 'edgeexit-runtime[cpu]', or [gpu] for an NVIDIA GPU; never both",
    ),
    "tensorrt": Backend(
        module="edgeexit_runtime.backends.tensorrt",
        runner="TensorRTRunner",
        install="pip install 'edgeexit-runtime[tensorrt]', [tensorrt-rtx] for TensorRT-RTX, or "
        "[jetson] where JetPack brings TensorRT",
    ),
}
"""The backends by name."""


def open_runner(
    name: str, bundle: Bundle, providers: Sequence[str] | None, threads: int | None
) -> Runner:
    """Open a bundle with the backend ``name``.

    ``auto`` is TensorRT where the bundle has engines of all its graphs, there is a CUDA device, and
    their library and PyCUDA are installed, unless ``providers`` are given; else ONNX Runtime,
    which runs everywhere.

    Raises:
        InputError: there is no such backend.
        BackendError: its engine is not installed, or does not start.
        BundleError: a file of the bundle is missing or changed.
    """
    if name == AUTO:
        name = "tensorrt" if providers is None and _has_tensorrt(bundle) else "onnxruntime"
    if name not in BACKENDS:
        raise InputError(f"backend: expected one of {', '.join((AUTO, *BACKENDS))}, got {name!r}")
    backend = BACKENDS[name]
    try:
        module = importlib.import_module(backend.module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("edgeexit_runtime"):
            raise
        raise BackendError(f"{error.name} is not installed: {backend.install}") from error
    except ImportError as error:
        reason = str(error).partition("\n")[0]
        raise BackendError(
            f"{name} is installed but does not start: {reason}; install it again"
        ) from error
    runner: Runner = getattr(module, backend.runner)(bundle, providers, threads)
    return runner


def _has_tensorrt(bundle: Bundle) -> bool:
    """Whether a bundle's engines are to be run here; imports nothing where it has none.

    Where only something that can be installed is missing, the log says so. Engines that do not
    fit are no reason for another backend: they are named when they are loaded.
    """
    entries = bundle.manifest.engines
    built = {entry.graph: entry.library for entry in entries}
    names = [name for name, _ in bundle.manifest.graphs()]
    if any(name not in built for name in names):
        return False
    cuda = importlib.import_module("edgeexit_runtime.backends.cuda_device")
    if cuda.find_gpu() is None:
        return False
    modules = {"pycuda", *(built[name].replace("-", "_") for name in names)}
    missing = [module for module in sorted(modules) if importlib.util.find_spec(module) is None]
    if missing:
        logger.warning(
            "%s: its TensorRT engines are not used, as %s is not installed: %s",
            *(bundle.folder, missing[0], BACKENDS["tensorrt"].install),
        )
    return not missing
