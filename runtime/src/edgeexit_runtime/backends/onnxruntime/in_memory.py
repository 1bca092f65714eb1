"""An ONNX model in memory, run on the CPU as written: the reference for comparing graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgeexit_runtime.backends.onnxruntime.providers import CPU
from edgeexit_runtime.backends.onnxruntime.sessions import BIAS_ROUNDING
from edgeexit_runtime.backends.onnxruntime.x86_products import require_exact_products


class ModelInMemory:
    """A serialized model with tensors of any shape.

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
