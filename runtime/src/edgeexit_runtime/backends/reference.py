"""The reference engine that others are compared with: any bundle or ONNX model, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeexit_runtime.backends.base import LoadOptions, Runner
from edgeexit_runtime.backends.onnxruntime.backend import OnnxRuntimeBackend
from edgeexit_runtime.bundle.folder import Bundle

if TYPE_CHECKING:
    from edgeexit_runtime.backends.onnxruntime.bare import ModelInMemory


def open_reference(bundle: Bundle) -> Runner:
    """Open a bundle that was made for any engine.

    Raises:
        BackendError: the engine is not installed, or does not start.
        BundleError: a file of the bundle is missing or changed.
    """
    return OnnxRuntimeBackend().open(bundle, LoadOptions(device="cpu"))


def open_reference_model(
    content: bytes, is_optimized: bool = True, rounds_biases: bool = False
) -> ModelInMemory:
    """Open a serialized ONNX model, with tensors of any shape."""
    from edgeexit_runtime.backends.onnxruntime.bare import ModelInMemory

    return ModelInMemory(content, is_optimized, rounds_biases)
