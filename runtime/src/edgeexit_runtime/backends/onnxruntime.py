"""ONNX Runtime: graphs bound once to buffers that stay where the provider computes.

Every tensor between graphs has two buffers on the provider's device: a stage writes the first,
and when some samples have left, the rows of the others are gathered into the second. Bindings
are kept per batch size, so that a run of a size seen before binds nothing but the images.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgeexit_runtime.backends.base import Runner
from edgeexit_runtime.bundle import Bundle
from edgeexit_runtime.errors import BackendError, BundleError
from edgeexit_runtime.gate import GateOutputs
from edgeexit_runtime.manifest import IMAGES, THRESHOLD, GraphEntry, TensorInfo

__all__ = ["OnnxRuntimeRunner"]

logger = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
# providers whose tensors live on the GPU; all others compute on the host's memory
GPU_PROVIDERS = (CUDA, "TensorrtExecutionProvider")
HOST = ("cpu", 0)


class OnnxRuntimeRunner(Runner):
    """Runs a bundle's ONNX files.

    Args:
        bundle: the bundle; every file is checked while it is read.
        providers: execution providers in the order of preference; None for the GPU where there
            is one, else the CPU.
        threads: threads per graph on the CPU; None leaves it to ONNX Runtime.

    Raises:
        BackendError: a provider that was asked for is not there or does not start.
        BundleError: a file is missing, changed, or not what the manifest says.
    """

    def __init__(
        self, bundle: Bundle, providers: Sequence[str] | None, threads: int | None
    ) -> None:
        manifest = bundle.manifest
        self._providers = _choose_providers(providers)
        self._required = self._providers[0] if providers is not None else None
        self._options = _session_options(threads)
        stages = {stage.name for stage in manifest.stages}
        self._graphs = {
            name: self._load(name, bundle.read(entry), entry, gated=name not in stages)
            for name, entry in manifest.graphs()
        }
        self.device = self._started_provider()
        on_gpu = self.device in GPU_PROVIDERS
        self._device = ("cuda", 0) if on_gpu else HOST
        self.versions = {"onnxruntime": onnxruntime.__version__}
        self._max_batch = manifest.max_batch
        self._features = {
            tensor.name: _Feature(tensor)
            for stage in manifest.stages
            for tensor in stage.graph.outputs
        }
        self._read_later = _tensors_read_later(list(manifest.graphs()))
        self._thresholds = {
            exit_.name: np.array([exit_.threshold], np.float32) for exit_ in manifest.exits
        }
        self._gates: dict[str, _GateBuffers] = {}
        self._selectors = {
            tensor.info.dtype: self._session(_select_rows_model(tensor.info.dtype))
            for tensor in self._features.values()
        }
        self._images: NDArray[np.float32] = np.empty(0, np.float32)
        self._count = 0
        self._capacity = 0
        self._reserve(1)

    def set_images(self, images: NDArray[np.float32]) -> None:
        self._images = images
        self._count = len(images)
        if self._count > self._capacity:
            self._reserve(self._count)

    def run_stage(self, name: str) -> None:
        graph = self._graphs[name]
        for tensor in graph.entry.outputs:
            self._features[tensor.name].current = 0
        self._run(graph)

    def run_exit(self, name: str) -> GateOutputs:
        return self._run(self._graphs[name]).gate

    def logits(self, name: str) -> NDArray[np.float32]:
        buffer = self._gates[name].logits
        return np.array(buffer.numpy()[: self._count])

    def keep(self, name: str, rows: NDArray[np.int64]) -> None:
        for tensor in self._read_later[name]:
            if tensor == IMAGES:
                self._images = self._images[rows]
            else:
                self._select(self._features[tensor], rows)
        self._count = len(rows)

    def set_threshold(self, name: str, threshold: float) -> None:
        self._thresholds[name][0] = threshold
        # a provider with memory of its own has copied the old value when it was bound
        self._graphs[name].bindings.clear()

    def close(self) -> None:
        self._graphs.clear()
        self._selectors.clear()
        self._features.clear()
        self._gates.clear()

    def _run(self, graph: _Graph) -> _Binding:
        current = tuple([self._features[name].current for name in graph.reads])
        key = (self._count, current)
        bound = graph.bindings.get(key)
        if bound is None:
            bound = graph.bindings[key] = self._bind(graph)
        if graph.reads_images:
            bound.binding.bind_cpu_input(IMAGES, self._images)
        graph.session.run_with_iobinding(bound.binding)
        return bound

    def _select(self, feature: _Feature, rows: NDArray[np.int64]) -> None:
        """Gather ``rows`` of a tensor's current buffer into its other one, on the device."""
        session = self._selectors[feature.info.dtype]
        source, feature.current = feature.current, 1 - feature.current
        key = (len(rows), source)
        binding = feature.selections.get(key)
        if binding is None:
            binding = feature.selections[key] = session.io_binding()
            binding.bind_input("features", *self._place(feature, source, self._capacity))
            binding.bind_output("selected", *self._place(feature, feature.current, len(rows)))
        binding.bind_cpu_input("rows", rows)
        session.run_with_iobinding(binding)

    def _bind(self, graph: _Graph) -> _Binding:
        """Bind every input and output of a graph for the current batch size, images left out."""
        count = self._count
        binding = graph.session.io_binding()
        for name in graph.reads:
            feature = self._features[name]
            binding.bind_input(name, *self._place(feature, feature.current, count))
        if not graph.gated:
            for tensor in graph.entry.outputs:
                binding.bind_output(
                    tensor.name, *self._place(self._features[tensor.name], 0, count)
                )
            return _Binding(binding, _NO_GATE)
        gate = self._gates[graph.name]
        binding.bind_cpu_input(THRESHOLD, self._thresholds[graph.name])
        logits = (np.float32, (count, *gate.logits.shape()[1:]), gate.logits.data_ptr())
        binding.bind_output("logits", *self._device, *logits)
        for name, array in gate.host.items():
            place = (array.dtype, (count,), array.ctypes.data)
            binding.bind_output(name, *HOST, *place)
        views = (gate.host[name][:count] for name in ("exits", "label", "confidence"))
        return _Binding(binding, GateOutputs(*views))

    def _place(self, feature: _Feature, which: int, count: int) -> tuple[Any, ...]:
        """Return where the first ``count`` rows of a buffer lie, as ``bind_input`` wants it."""
        address = feature.buffers[which].data_ptr()
        return (*self._device, np.dtype(feature.info.dtype), (count, *feature.info.shape), address)

    def _reserve(self, count: int) -> None:
        """Make room for batches of ``count`` samples, and forget bindings to the old buffers."""
        # doubled, so that batches that grow one by one do not allocate each time
        self._capacity = min(self._max_batch, max(count, 2 * self._capacity))
        for feature in self._features.values():
            shape = (self._capacity, *feature.info.shape)
            both = 2 if self._capacity > 1 else 1  # a single sample leaves or goes on as it is
            feature.buffers = [self._allocate(shape, feature.info.dtype) for _ in range(both)]
            feature.selections.clear()
        for graph in self._graphs.values():
            graph.bindings.clear()
            if graph.gated:
                shape = (self._capacity, *graph.entry.outputs[0].shape)
                self._gates[graph.name] = _gate_buffers(self._allocate(shape, "float32"))

    def _allocate(self, shape: tuple[int, ...], dtype: str) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            shape, np.dtype(dtype), *self._device
        )

    def _load(self, name: str, content: bytes, entry: GraphEntry, *, gated: bool) -> _Graph:
        try:
            session = self._session(content)
        except BackendError:
            raise
        except Exception as error:  # onnxruntime's own have no common base but this
            reason = str(error).strip().partition("\n")[0]
            raise BackendError(f"{entry.file}: onnxruntime cannot load it: {reason}") from error
        expected = [tensor.name for tensor in entry.inputs] + [THRESHOLD] * gated
        got = [tensor.name for tensor in session.get_inputs()]
        if sorted(got) != sorted(expected):
            raise BundleError(
                f"{entry.file}: expected inputs {_listed(expected)} by the manifest, got "
                f"{_listed(got)}; export the bundle again"
            )
        return _Graph(name, session, entry, gated)

    def _session(self, content: bytes) -> Any:
        session = onnxruntime.InferenceSession(
            content, self._options, providers=list(self._providers)
        )
        # onnxruntime goes on with the CPU when a provider fails to start
        if self._required is not None and self._required not in session.get_providers():
            raise BackendError(
                f"{self._required} is in this onnxruntime but did not start here (driver or "
                f"library missing?); started: {', '.join(session.get_providers())}"
            )
        return session

    def _started_provider(self) -> str:
        (started, *_), *_ = (graph.session.get_providers() for graph in self._graphs.values())
        if started != self._providers[0]:
            logger.warning("%s did not start, running on %s", self._providers[0], started)
        return str(started)


@dataclass(slots=True)
class _Binding:
    binding: Any
    gate: GateOutputs


class _Graph:
    """A loaded graph and its bindings by batch size and by the buffers that it reads."""

    __slots__ = ("bindings", "entry", "gated", "name", "reads", "reads_images", "session")

    def __init__(self, name: str, session: Any, entry: GraphEntry, gated: bool) -> None:
        self.name = name
        self.session = session
        self.entry = entry
        self.gated = gated
        inputs = [tensor.name for tensor in entry.inputs]
        self.reads = [tensor for tensor in inputs if tensor != IMAGES]
        self.reads_images = IMAGES in inputs
        self.bindings: dict[tuple[int, tuple[int, ...]], _Binding] = {}


class _Feature:
    """A tensor between graphs: its buffers, and which of them holds the current batch."""

    __slots__ = ("buffers", "current", "info", "selections")

    def __init__(self, info: TensorInfo) -> None:
        self.info = info
        self.buffers: list[Any] = []
        self.current = 0
        self.selections: dict[tuple[int, int], Any] = {}


@dataclass(frozen=True, slots=True)
class _GateBuffers:
    """What an exit writes: logits where the provider computes, the rest on the host."""

    logits: Any
    host: dict[str, NDArray[Any]]


_NO_GATE = GateOutputs(np.empty(0, np.bool_), np.empty(0, np.int32), np.empty(0, np.float32))


def _gate_buffers(logits: Any) -> _GateBuffers:
    capacity = logits.shape()[0]
    return _GateBuffers(
        logits,
        {
            "exits": np.empty(capacity, np.bool_),
            "label": np.empty(capacity, np.int32),
            "confidence": np.empty(capacity, np.float32),
        },
    )


def _tensors_read_later(graphs: list[tuple[str, GraphEntry]]) -> dict[str, list[str]]:
    """Return for each graph the tensors written before its end and read by graphs after it."""
    later: dict[str, list[str]] = {}
    written = {IMAGES}
    for position, (name, graph) in enumerate(graphs):
        written |= {tensor.name for tensor in graph.outputs}
        read = {tensor.name for _, other in graphs[position + 1 :] for tensor in other.inputs}
        later[name] = sorted(written & read)
    return later


def _choose_providers(providers: Sequence[str] | None) -> tuple[str, ...]:
    available = onnxruntime.get_available_providers()
    if providers is None:
        return (CUDA, CPU) if CUDA in available else (CPU,)
    if not providers:
        raise BackendError(f"providers: expected at least one of {_listed(available)}")
    for provider in providers:
        if provider not in available:
            raise BackendError(
                f"providers: {provider} is not in this onnxruntime; it has {_listed(available)}"
            )
    return tuple(providers)


def _session_options(threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; what matters is raised here
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    return options


def _select_rows_model(dtype: str) -> bytes:
    """Return the ONNX graph ``selected = features[rows]`` for features of any rank."""
    file = resources.files("edgeexit_runtime.backends") / f"select_rows_{dtype}.onnx"
    return file.read_bytes()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
