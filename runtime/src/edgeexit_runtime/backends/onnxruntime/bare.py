"""ONNX graphs outside of a bundle: a device's best speed for benchmarks, and a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgeexit_runtime.backends.base import BareGraphs
from edgeexit_runtime.backends.onnxruntime.providers import CPU, GPU_PROVIDERS
from edgeexit_runtime.backends.onnxruntime.sessions import BIAS_ROUNDING, SessionOpener
from edgeexit_runtime.backends.onnxruntime.x86_products import require_exact_products
from edgeexit_runtime.bundle.manifest import GraphEntry


class OnnxRuntimeGraphs(BareGraphs):
    """Opens graphs like a bundle's, and binds them to memory of the provider's device.

    Args:
        provider: the execution provider that all graphs run on.
        threads: per graph; None leaves it to ONNX Runtime.

    Raises:
        BackendError: the provider is not in this onnxruntime.
    """

    def __init__(self, provider: str, threads: int | None) -> None:
        self.device = provider
        self._opener = SessionOpener(None, [provider], threads)
        self._place = ("cuda" if provider in GPU_PROVIDERS else "cpu", 0)

    def bind(
        self, entry: GraphEntry, content: bytes, inputs: Mapping[str, NDArray[Any]]
    ) -> Callable[[], object]:
        session = self._opener.open_graph(entry, content, gated=False)
        binding = session.io_binding()
        count = len(next(iter(inputs.values())))
        held = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(array, *self._place)
            for name, array in inputs.items()
        }
        for name, value in held.items():
            binding.bind_ortvalue_input(name, value)
        for tensor in entry.outputs:
            held[tensor.name] = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                (count, *tensor.shape), np.dtype(tensor.dtype), *self._place
            )
            binding.bind_ortvalue_output(tensor.name, held[tensor.name])

        def call() -> object:
            # returns when the provider is done; "held" keeps the bound values alive
            return session.run_with_iobinding(binding), held

        return call


class ModelInMemory:
    """A serialized model with tensors of any shape, on the CPU: the reference to compare with.

    Args:
        content: the model.
        is_optimized: whether ONNX Runtime may fuse nodes; else each runs as written.
        rounds_biases: whether biases beside Q/DQ nodes are rounded, which is ONNX Runtime's
            default.

    Attributes:
        inputs, outputs: names of its tensors.
    """

    def __init__(
        self, content: bytes, is_optimized: bool = True, rounds_biases: bool = False
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised anyway
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if not is_optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        require_exact_products(options)
        disabled = [] if rounds_biases else [BIAS_ROUNDING]
        self._session: Any = onnxruntime.InferenceSession(
            content, options, providers=[CPU], disabled_optimizers=disabled
        )
        self.inputs = [tensor.name for tensor in self._session.get_inputs()]
        self.outputs = [tensor.name for tensor in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[Any]]:
        """Return all outputs by name."""
        return dict(zip(self.outputs, self._session.run(self.outputs, dict(inputs)), strict=True))
