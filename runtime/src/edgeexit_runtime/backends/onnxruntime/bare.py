"""ONNX graphs outside of a bundle, by which benchmarks measure the machine's best speed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgeexit_runtime.backends.base import BareGraphs
from edgeexit_runtime.backends.onnxruntime.providers import GPU_PROVIDERS
from edgeexit_runtime.backends.onnxruntime.sessions import SessionOpener
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
