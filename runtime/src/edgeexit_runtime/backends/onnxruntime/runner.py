"""ONNX Runtime: graphs bound once to buffers on the provider's device.

Every tensor between graphs has two buffers there: a stage writes the first, and when some samples
have left, the rows of the others are gathered into the second. Bindings are kept per batch size, so
that a run of a known size binds only the images.

On a GPU all sessions of a bundle compute in one stream, and only an exit waits for its end: the
next graph reads a stage's outputs later in the same stream.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgeexit_runtime.backends.base import NVIDIA, BareGraphs, Hardware, Runner
from edgeexit_runtime.backends.buffer_plan import plan_buffers
from edgeexit_runtime.backends.cuda.device import find_gpu
from edgeexit_runtime.backends.onnxruntime.bare import OnnxRuntimeGraphs
from edgeexit_runtime.backends.onnxruntime.graphs import (
    NO_GATE,
    NO_IMAGES,
    Binding,
    Feature,
    GateBuffers,
    Graph,
)
from edgeexit_runtime.backends.onnxruntime.profile import layer_precisions
from edgeexit_runtime.backends.onnxruntime.providers import GPU_PROVIDERS
from edgeexit_runtime.backends.onnxruntime.sessions import SessionOpener, first_line
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import IMAGES, THRESHOLD, TensorInfo
from edgeexit_runtime.bundle.quantization_entry import ALL, CPU, GPU
from edgeexit_runtime.errors import BackendError, InputError
from edgeexit_runtime.gate import GateOutputs

logger = logging.getLogger(__name__)

HOST = ("cpu", 0)


class OnnxRuntimeRunner(Runner):
    """Runs a bundle's ONNX files.

    Args:
        bundle: the bundle; every file is checked while it is read.
        providers: execution providers in order of preference; None for the GPU if there is one,
            else the CPU.
        threads: threads per graph on the CPU; None leaves it to ONNX Runtime.

    Raises:
        BackendError: a provider that was named is missing or does not start.
        BundleError: a file is missing, changed, or not what the manifest says.
    """

    def __init__(
        self, bundle: Bundle, providers: Sequence[str] | None, threads: int | None
    ) -> None:
        manifest = bundle.manifest
        int8 = manifest.quantization
        half_scales = int8 is not None and (int8.extent, int8.fallback) == (ALL, "fp16")
        opener = SessionOpener(bundle, providers, threads, half_scales=half_scales)
        self._opener, self._bundle = opener, bundle
        self._stream = opener.stream
        self._without_waiting = None if self._stream is None else _run_without_waiting()
        self._is_running = False  # whether a stage may be running that was not waited for
        self._features = {
            tensor.name: Feature(tensor)
            for stage in manifest.stages
            for tensor in stage.graph.outputs
        }
        self._graphs = self._open_graphs()
        first = next(iter(self._graphs.values()))
        self.device = opener.started_provider(first.session)  # the same for all
        on_gpu = self.device in GPU_PROVIDERS
        self._device = ("cuda", 0) if on_gpu else HOST
        if on_gpu:
            gpu = find_gpu()
            self.hardware = Hardware(NVIDIA, "" if gpu is None else gpu.name)
        self.int8_of = (GPU if on_gpu else CPU,)
        if not on_gpu and int8 is not None and opener.widens:
            self.int8_instead = "products are widened"
        self.threads = None if on_gpu else threads
        self.versions = {"onnxruntime": onnxruntime.__version__}
        self._max_batch = manifest.max_batch
        self._read_later = plan_buffers(manifest).read_later
        self._thresholds = {
            exit_.name: np.array([exit_.threshold], np.float32) for exit_ in manifest.exits
        }
        self._gates: dict[str, GateBuffers] = {}
        self._last_counts: dict[str, int] = {}
        self._selectors = {
            tensor.info.dtype: opener.open_row_selection(tensor.info.dtype)
            for tensor in self._features.values()
        }
        self._images = NO_IMAGES
        self._count = 0
        self._capacity = 0
        self._reserve(1)

    def _open_graphs(self) -> dict[str, Graph]:
        """Return the graphs of stages and branches by name, connected by the features."""
        stages = {stage.name for stage in self._bundle.manifest.stages}
        graphs = {}
        for name, entry in self._bundle.manifest.graphs():
            gated = name not in stages
            inputs = [tensor.name for tensor in entry.inputs]
            graphs[name] = Graph(
                name,
                self._opener.open_graph(entry, self._bundle.read(entry), gated=gated),
                entry,
                gated,
                reads=[self._features[tensor] for tensor in inputs if tensor != IMAGES],
                writes=[] if gated else [self._features[tensor.name] for tensor in entry.outputs],
                reads_images=IMAGES in inputs,
            )
        return graphs

    def set_images(self, images: NDArray[np.float32]) -> None:
        self.synchronize()  # with a batch that was not waited for
        count = len(images)
        if count > self._capacity:
            self._reserve(count)
        self._images = images
        self._count = count

    def run_stage(self, name: str) -> None:
        graph = self._graphs[name]
        for feature in graph.writes:
            feature.current = 0
        self._run(graph)

    def run_exit(self, name: str) -> GateOutputs:
        bound = self._run(self._graphs[name])
        self._is_running = False  # an exit ends after all earlier work
        self._last_counts[name] = self._count
        return bound.gate

    def logits(self, name: str) -> NDArray[np.float32]:
        return np.array(self._gates[name].logits.numpy()[: self._last_counts[name]])

    def keep(self, name: str, rows: NDArray[np.int64]) -> None:
        try:
            for tensor in self._read_later[name]:
                if tensor == IMAGES:
                    self._images = self._images[rows]
                else:
                    self._select(self._features[tensor], rows)
        except Exception as error:
            raise self._failed(name, error) from error
        self._count = len(rows)

    def set_threshold(self, name: str, threshold: float) -> None:
        self._thresholds[name][0] = threshold
        # a provider with its own memory has copied the old value when it was bound
        self._graphs[name].bindings.clear()

    def synchronize(self) -> None:
        if self._is_running and self._stream is not None:
            self._stream.synchronize()
        self._is_running = False

    def computed_in(self) -> str:
        return layer_precisions(self._opener, self._bundle)

    def bare_graphs(self) -> BareGraphs:
        return OnnxRuntimeGraphs(self.device, self.threads)

    def close(self) -> None:
        try:
            self.synchronize()
        except BackendError as error:  # of a failed run; everything must still be freed
            logger.warning("at the end of the last run: %s", error)
        self._graphs.clear()
        self._selectors.clear()
        self._features.clear()
        self._gates.clear()
        self._images = NO_IMAGES
        if self._stream is not None:
            self._stream.close()

    def _run(self, graph: Graph) -> Binding:
        try:
            key = (self._count, tuple([feature.current for feature in graph.reads]))
            bound = graph.bindings.get(key)
            if bound is None:
                bound = graph.bindings[key] = self._bind(graph)
            if graph.reads_images:
                # a binding keeps its images alive: allow that only for the last one used
                if graph.holder is not None and graph.holder is not bound.binding:
                    graph.holder.bind_cpu_input(IMAGES, NO_IMAGES)
                graph.holder = bound.binding
                bound.binding.bind_cpu_input(IMAGES, self._images)
            if graph.gated:
                graph.session.run_with_iobinding(bound.binding)
            else:
                self._enqueue(graph.session, bound.binding)
        except Exception as error:  # onnxruntime's errors have no other common base
            raise self._failed(graph.name, error) from error
        return bound

    def _select(self, feature: Feature, rows: NDArray[np.int64]) -> None:
        """Gather ``rows`` of a tensor's current buffer into its other buffer, on the device."""
        session = self._selectors[feature.info.dtype]
        source, target = feature.current, 1 - feature.current
        key = (len(rows), source)
        binding = feature.selections.get(key)
        if binding is None:
            binding = session.io_binding()
            binding.bind_input("features", *self._place(feature, source, self._capacity))
            binding.bind_output("selected", *self._place(feature, target, len(rows)))
            feature.selections[key] = binding
        binding.bind_cpu_input("rows", rows)
        self._enqueue(session, binding)
        feature.current = target

    def _enqueue(self, session: Any, binding: Any) -> None:
        """Run without waiting for the end, if the next graph follows in the same stream."""
        self._is_running = True
        session.run_with_iobinding(binding, self._without_waiting)

    def _bind(self, graph: Graph) -> Binding:
        """Bind every input and output of a graph for the current batch size, except images."""
        count = self._count
        binding = graph.session.io_binding()
        for feature in graph.reads:
            place = self._place(feature, feature.current, count)
            binding.bind_input(feature.info.name, *place)
        if not graph.gated:
            for feature in graph.writes:
                binding.bind_output(feature.info.name, *self._place(feature, 0, count))
            return Binding(binding, NO_GATE)
        gate = self._gates[graph.name]
        binding.bind_cpu_input(THRESHOLD, self._thresholds[graph.name])
        logits = (np.float32, (count, *gate.logits.shape()[1:]), gate.logits.data_ptr())
        binding.bind_output("logits", *self._device, *logits)
        for name, array in gate.host.items():
            binding.bind_output(name, *HOST, array.dtype, (count,), array.ctypes.data)
        views = (gate.host[name][:count] for name in ("exits", "label", "confidence"))
        return Binding(binding, GateOutputs(*views))

    def _place(self, feature: Feature, buffer: int, count: int) -> tuple[Any, ...]:
        """Return the place of a buffer's first ``count`` rows as arguments of ``bind_input``."""
        address = feature.buffers[buffer].data_ptr()
        return (*self._device, np.dtype(feature.info.dtype), (count, *feature.info.shape), address)

    def _reserve(self, count: int) -> None:
        """Allocate buffers for batches of ``count`` samples; drop bindings to the old ones."""
        if count > self._max_batch:  # graphs would write past the ends of the buffers
            raise InputError(f"images: expected at most {self._max_batch} at once, got {count}")
        # doubled, so that batches that grow one by one do not allocate each time
        capacity = min(self._max_batch, max(count, 2 * self._capacity))
        copies = 2 if capacity > 1 else 1  # a single sample is never selected from
        try:
            buffers = {
                name: [self._allocate(capacity, feature.info) for _ in range(copies)]
                for name, feature in self._features.items()
            }
            gates = {
                name: GateBuffers(self._allocate(capacity, graph.entry.outputs[0]), capacity)
                for name, graph in self._graphs.items()
                if graph.gated
            }
        except Exception as error:  # onnxruntime's errors have no other common base
            raise BackendError(
                f"the features of {capacity} images do not fit into this device's memory "
                f"({first_line(error)}); infer fewer at once, or free memory"
            ) from error
        self._capacity = 0  # after an interrupt in between, the next batch starts again
        for name, feature in self._features.items():
            feature.buffers = buffers[name]
            feature.selections.clear()
        for graph in self._graphs.values():
            graph.bindings.clear()
        self._gates = gates
        self._capacity = capacity

    def _allocate(self, count: int, tensor: TensorInfo) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            (count, *tensor.shape), np.dtype(tensor.dtype), *self._device
        )

    def _failed(self, name: str, error: Exception) -> BackendError:
        return BackendError(
            f"{name}: onnxruntime failed over a batch of {self._count} ({first_line(error)}); "
            "infer fewer at once if memory is short, else export the bundle again"
        )


def _run_without_waiting() -> Any:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    return options
