"""ONNX Runtime as a backend: runs the ONNX files of any bundle, on the CPU or a GPU."""

from __future__ import annotations

from edgeexit_runtime.backends.base import Backend, BareGraphs, LoadOptions, Runner
from edgeexit_runtime.backends.onnxruntime.providers import CACHE_FOLDER, CPU, CUDA
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.errors import InputError

RUNNER = "edgeexit_runtime.backends.onnxruntime.runner:OnnxRuntimeRunner"
GRAPHS = "edgeexit_runtime.backends.onnxruntime.bare:OnnxRuntimeGraphs"
PROVIDERS = {"cpu": (CPU,), "cuda": (CUDA,)}


class OnnxRuntimeBackend(Backend):
    """Runs everywhere; ``providers`` select where, or ``device`` a single provider."""

    name = "onnxruntime"
    modules = ("onnxruntime",)
    install = "pip install 'edgeexit-runtime[cpu]', or [gpu] for an NVIDIA GPU; never both"
    devices = tuple(PROVIDERS)
    takes_providers = True
    keeps = CACHE_FOLDER

    def check(self, options: LoadOptions) -> None:
        super().check(options)
        if options.providers is not None and options.device is not None:
            raise InputError(
                f"providers, device: expected one of them, got {options.providers!r} and "
                f"{options.device!r}"
            )

    def open(self, bundle: Bundle, options: LoadOptions) -> Runner:
        providers = options.providers
        if options.device is not None:
            providers = PROVIDERS[options.device.lower()]
        runner: Runner = self.import_class(RUNNER)(bundle, providers, options.threads)
        return runner

    def cuda_graphs(self) -> BareGraphs:
        """Return bare graphs on CUDA, for backends of that device that open no ONNX files.

        Raises:
            BackendError: ONNX Runtime is not installed, or not for CUDA.
        """
        graphs: BareGraphs = self.import_class(GRAPHS)(CUDA, None)
        return graphs
