"""The engine that others are held against: it runs any bundle and any ONNX model, on the CPU."""

from __future__ import annotations

from edgeexit_runtime.backends import BACKENDS
from edgeexit_runtime.backends.base import LoadOptions, Runner
from edgeexit_runtime.backends.onnxruntime.backend import OnnxRuntimeBackend
from edgeexit_runtime.backends.onnxruntime.in_memory import ModelInMemory
from edgeexit_runtime.bundle.folder import Bundle

ReferenceModel = ModelInMemory


def open_reference(bundle: Bundle) -> Runner:
    """Open a bundle, whatever engine it is for.

    Raises:
        BackendError: the engine does not start.
        BundleError: a file of the bundle is missing or changed.
    """
    return BACKENDS[OnnxRuntimeBackend.name].open(bundle, LoadOptions(device="cpu"))
