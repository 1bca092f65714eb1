"""Data of the ONNX Runtime backend: graphs, the tensors between them, and gate outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.bundle.manifest import GraphEntry, TensorInfo
from edgeexit_runtime.gate import GateOutputs

NO_IMAGES: NDArray[np.float32] = np.empty(0, np.float32)
NO_GATE = GateOutputs(np.empty(0, np.bool_), np.empty(0, np.int32), np.empty(0, np.float32))


@dataclass(slots=True)
class Binding:
    """A graph bound for one batch size, and the arrays of its gate's outputs, if it has one."""

    binding: Any
    gate: GateOutputs


@dataclass(slots=True)
class Feature:
    """A tensor between graphs: its buffers, and the index of the one with the current batch."""

    info: TensorInfo
    buffers: list[Any] = field(default_factory=list)
    current: int = 0
    selections: dict[tuple[int, int], Any] = field(default_factory=dict)


@dataclass(slots=True)
class Graph:
    """A loaded graph and its bindings, by batch size and the buffers that it reads."""

    name: str
    session: Any
    entry: GraphEntry
    gated: bool
    reads: list[Feature]
    writes: list[Feature]
    reads_images: bool
    bindings: dict[tuple[int, tuple[int, ...]], Binding] = field(default_factory=dict)
    holder: Any = None  # the binding that holds images, if the graph reads them


class GateBuffers:
    """An exit's output buffers: logits on the provider's device, the others on the host."""

    __slots__ = ("host", "logits")

    def __init__(self, logits: Any, capacity: int) -> None:
        self.logits = logits
        self.host: dict[str, NDArray[Any]] = {
            "exits": np.empty(capacity, np.bool_),
            "label": np.empty(capacity, np.int32),
            "confidence": np.empty(capacity, np.float32),
        }
