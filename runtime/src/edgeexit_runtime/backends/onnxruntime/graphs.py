"""Data of the ONNX Runtime backend: graphs, the tensors between them, and gate outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.bundle.manifest import IMAGES, GraphEntry, TensorInfo
from edgeexit_runtime.gate import GateOutputs

NO_IMAGES: NDArray[np.float32] = np.empty(0, np.float32)
NO_GATE = GateOutputs(np.empty(0, np.bool_), np.empty(0, np.int32), np.empty(0, np.float32))


@dataclass(slots=True)
class Binding:
    """A graph bound for one batch size, and the arrays of its gate's outputs, if it has one."""

    binding: Any
    gate: GateOutputs


class Graph:
    """A loaded graph and its bindings, by batch size and the buffers that it reads."""

    __slots__ = (
        *("bindings", "entry", "gated", "holder", "name", "reads", "reads_images"),
        *("session", "writes"),
    )

    def __init__(
        self,
        name: str,
        session: Any,
        entry: GraphEntry,
        gated: bool,
        features: Mapping[str, Feature],
    ) -> None:
        self.name = name
        self.session = session
        self.entry = entry
        self.gated = gated
        inputs = [tensor.name for tensor in entry.inputs]
        self.reads = [features[tensor] for tensor in inputs if tensor != IMAGES]
        self.writes = [] if gated else [features[tensor.name] for tensor in entry.outputs]
        self.reads_images = IMAGES in inputs
        self.bindings: dict[tuple[int, tuple[int, ...]], Binding] = {}
        self.holder: Any = None  # the binding that holds images, if the graph reads them


class Feature:
    """A tensor between graphs: its buffers, and the index of the one with the current batch."""

    __slots__ = ("buffers", "current", "info", "selections")

    def __init__(self, info: TensorInfo) -> None:
        self.info = info
        self.buffers: list[Any] = []
        self.current = 0
        self.selections: dict[tuple[int, int], Any] = {}


@dataclass(frozen=True, slots=True)
class GateBuffers:
    """An exit's output buffers: logits on the provider's device, the others on the host."""

    logits: Any
    host: dict[str, NDArray[Any]]


def gate_buffers(logits: Any) -> GateBuffers:
    """Allocate the host buffers that go with ``logits``."""
    capacity = logits.shape()[0]
    return GateBuffers(
        logits,
        {
            "exits": np.empty(capacity, np.bool_),
            "label": np.empty(capacity, np.int32),
            "confidence": np.empty(capacity, np.float32),
        },
    )
