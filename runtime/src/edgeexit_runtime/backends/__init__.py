"""Ways to execute the graphs of a bundle, one file each, imported only when it is chosen.

A new backend is a file with a :class:`~edgeexit_runtime.backends.base.Runner` and an entry here.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from edgeexit_runtime.backends.base import Runner
from edgeexit_runtime.bundle import Bundle
from edgeexit_runtime.errors import BackendError, InputError

__all__ = ["AUTO", "BACKENDS", "Backend", "open_runner"]

AUTO = "auto"


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
        install="pip install 'edgeexit-runtime[tensorrt]', or [rtx] for TensorRT-RTX",
    ),
}
"""The backends by name."""


def open_runner(
    name: str, bundle: Bundle, providers: Sequence[str] | None, threads: int | None
) -> Runner:
    """Open a bundle with the backend ``name``.

    ``auto`` is TensorRT where the bundle has engines of all its graphs, their library is installed
    and there is a CUDA device, unless ``providers`` are given; else ONNX Runtime, which runs
    everywhere.

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
    """Whether a bundle's engines can be tried here; imports nothing where it has none."""
    records = getattr(bundle.manifest, "engines", ())
    built = {record.graph for record in records}
    if not records or not built.issuperset(name for name, _ in bundle.manifest.graphs()):
        return False
    libraries = {record.library.replace("-", "_") for record in records}
    if any(importlib.util.find_spec(library) is None for library in libraries):
        return False
    try:
        cuda = importlib.import_module("edgeexit_runtime.backends.cuda_context")
    except ImportError:
        return False
    return bool(cuda.has_device())
