"""TensorRT: engines bound once to planned device memory, through PyCUDA.

All work goes into one stream: the copy of the images to the device, stages and exits one after
another, moves of the rows that stay, and per exit one copy of its flags, labels and confidences to
the host, followed by one event that is waited for. Every tensor has a fixed address, so a run is
one launch of a CUDA graph, captured at load. :class:`TensorRTOptions` are alternatives.
"""

from __future__ import annotations

import logging
import threading
import traceback
from functools import partial
from typing import Any

import numpy as np
import pycuda
import pycuda.driver as cuda
from numpy.typing import NDArray

from edgeexit_runtime.backends.base import NVIDIA, BareGraphs, Hardware, Runner
from edgeexit_runtime.backends.buffer_plan import plan_buffers, row_moves
from edgeexit_runtime.backends.cuda.context import PrimaryContext
from edgeexit_runtime.backends.cuda.end import StreamEnd
from edgeexit_runtime.backends.cuda.memory import CudaMemory, require_free_memory
from edgeexit_runtime.backends.cuda.stream import NON_BLOCKING
from edgeexit_runtime.backends.onnxruntime.backend import OnnxRuntimeBackend
from edgeexit_runtime.backends.tensorrt.engines import Engine, engine_entries, engine_library
from edgeexit_runtime.backends.tensorrt.options import TensorRTOptions
from edgeexit_runtime.backends.tensorrt.runs.captures import Captures
from edgeexit_runtime.backends.tensorrt.runs.gate import GatePlan
from edgeexit_runtime.backends.tensorrt.runs.images import ImageBuffer
from edgeexit_runtime.backends.tensorrt.runs.parts import Part, Run, bucket_sizes
from edgeexit_runtime.backends.tensorrt.runtime import EngineRuntime
from edgeexit_runtime.backends.tensorrt.versions import open_library
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import IMAGES, THRESHOLD, GraphEntry, Manifest
from edgeexit_runtime.errors import DeviceLostError, InputError
from edgeexit_runtime.gate import GateOutputs
from edgeexit_runtime.system.forks import never_free

logger = logging.getLogger(__name__)

LOADING = threading.Lock()
"""Libraries wait for the whole device when they load, which breaks another session's captures."""


class TensorRTRunner(Runner):
    """Runs a bundle's engines on the first CUDA device.

    Args:
        bundle: the bundle; every engine file is checked while it is read.
        options: how to run them.

    Raises:
        BackendError: no engines, device or library, engines that do not fit them, or too little
            memory.
        DeviceLostError: the device rejects every further call of this process.
        BundleError: a file is missing, changed, or not what the manifest says.
    """

    def __init__(self, bundle: Bundle, options: TensorRTOptions) -> None:
        manifest = bundle.manifest
        self.threads = None
        self._options = options
        self.ahead_below = options.speculate_below
        trt = open_library(engine_library(bundle))
        self._entries = engine_entries(bundle, trt)
        self._runtime = EngineRuntime(trt, bundle.folder)
        self._max_batch = manifest.max_batch
        self._plan = plan_buffers(manifest)
        self._gates = GatePlan(manifest)
        self._memory = CudaMemory()
        self._stream: Any = None
        self._end: StreamEnd | None = None
        self._parts: dict[str, Part] = {}
        self._joined: dict[tuple[str | None, str, int], Run] = {}  # stage, exit, samples
        self._addresses: dict[str, int] = {}  # of images and tensors between graphs
        self._count = 0
        self._last_counts: dict[str, int] = {}
        self._closed = False
        self.together = self._context = PrimaryContext()
        try:
            with LOADING, self._context:
                self._load(bundle)
        except BaseException as error:
            self._close(error)
            raise
        self.device = f"cuda:0 {self._context.name}"
        self.hardware = Hardware(NVIDIA)
        self.versions = {
            trt.library.name: trt.version,
            "pycuda": pycuda.VERSION_TEXT,
            "cuda driver": str(cuda.get_driver_version()),
        }

    def set_images(self, images: NDArray[np.float32]) -> None:
        count = len(images)
        if count > self._max_batch:
            raise InputError(f"images: expected at most {self._max_batch} at once, got {count}")
        with self._context:
            self._images.put(images, self._stream)
        self._count = count

    def run_stage(self, name: str) -> None:
        with self._context:
            self._run_part(name)

    def run_exit(self, name: str) -> GateOutputs:
        return self.run_step(None, name)

    def run_step(self, stage: str | None, exit_: str, ahead: str | None = None) -> GateOutputs:
        assert self._end is not None, "it exists as long as the stream"
        with self._context:
            joined = self._joined.get((stage, exit_, self._count))
            if joined is not None:
                self._images.in_use = True
                joined.start(self._stream.handle)
            else:
                if stage is not None:
                    self._run_part(stage)
                self._run_part(exit_)
            self._end.mark(self._stream)
            if ahead is not None:
                self._run_part(ahead)
            self._end.wait()
        # a stage ahead may still read the images; they change meanwhile only if it was in vain
        self._images.in_use = False
        self._last_counts[exit_] = self._count
        return self._gates.outputs(exit_, self._count)

    def logits(self, name: str) -> NDArray[np.float32]:
        pinned = self._pinned_logits[: self._last_counts[name]]
        with self._context:
            address = self._parts[name].addresses["logits"]
            cuda.memcpy_dtoh_async(pinned, address, self._stream)
            self._stream.synchronize()
        return np.array(pinned)

    def keep(self, name: str, rows: NDArray[np.int64]) -> None:
        moves = list(row_moves(rows))
        with self._context:
            for tensor in self._plan.read_later[name]:
                begin, size = self._addresses[tensor], self._plan.row_bytes[tensor]
                for to, source, count in moves:
                    cuda.memcpy_dtod_async(
                        begin + to * size, begin + source * size, count * size, self._stream
                    )
        self._count = len(rows)

    def set_threshold(self, name: str, threshold: float) -> None:
        with self._context:
            pinned = self._gates.threshold(name)
            pinned[0] = threshold
            address = self._parts[name].addresses[THRESHOLD]
            cuda.memcpy_htod_async(address, pinned, self._stream)
            self._stream.synchronize()

    def synchronize(self) -> None:
        with self._context:
            self._stream.synchronize()

    def bare_graphs(self) -> BareGraphs:
        return OnnxRuntimeBackend().cuda_graphs()  # this engine opens no ONNX files

    def close(self) -> None:
        self._close(None)

    def _load(self, bundle: Bundle) -> None:
        """Load the engines, allocate all memory, and bind everything."""
        manifest, plan, gates, memory = bundle.manifest, self._plan, self._gates, self._memory
        tensor_bytes = plan.size_bytes + gates.size_bytes
        engine_bytes = sum(entry.size_bytes for entry in self._entries.values())
        shared = self._context.shares_memory
        require_free_memory(tensor_bytes + engine_bytes, "engines and features", shared=shared)
        self._stream = cuda.Stream(NON_BLOCKING)
        self._end = StreamEnd(self._options.poll_us)
        for name, graph in manifest.graphs():
            self._parts[name] = self._open_part(name, graph, bundle)
        scratch_bytes = max(part.engine.scratch_bytes for part in self._parts.values())
        needed = tensor_bytes + scratch_bytes
        require_free_memory(needed, "features and scratch memory", shared=shared)
        scratch = memory.device(scratch_bytes)
        features = memory.device(plan.size_bytes)
        map_outputs = self._options.map_outputs
        gates.allocate(memory, mapped=shared if map_outputs is None else map_outputs)
        self._addresses = {name: features + offset for name, offset in plan.offsets.items()}
        shape = (self._max_batch, *manifest.preprocessing.input_size)
        place = None if self._options.map_images else self._addresses[IMAGES]
        self._images = ImageBuffer(memory, shape, place)
        self._addresses[IMAGES] = self._images.address
        self._pinned_logits = memory.pinned(
            (self._max_batch, manifest.model.num_classes), np.float32
        )
        for name, graph in manifest.graphs():
            gated = name in manifest.exit_names
            tensors = [*graph.inputs, *([] if gated else graph.outputs)]
            addresses = {tensor.name: self._addresses[tensor.name] for tensor in tensors}
            if gated:
                addresses |= gates.addresses(name)
            copy_of = partial(gates.copy, name, self._stream) if gated else _no_copy
            part = self._parts[name]
            part.bind(addresses, (scratch, scratch_bytes), self._max_batch, copy_of)
        for exit_ in manifest.exits:
            self.set_threshold(exit_.name, exit_.threshold)
        self._prepare(manifest)

    def _open_part(self, name: str, graph: GraphEntry, bundle: Bundle) -> Part:
        gated = name in bundle.manifest.exit_names
        entry, size = self._entries[name], self._max_batch
        content = bundle.read(entry)
        engine = Engine(self._runtime, entry, graph, content, gated=gated, max_batch=size)
        return Part(name, engine)

    def _prepare(self, manifest: Manifest) -> None:
        """Run and capture everything once, so that no later call pays for a first run."""
        captures = Captures(self._stream, is_on=self._options.graphs)
        for part in self._parts.values():
            for size in bucket_sizes(self._max_batch):
                captures.prepare(part.runs[size], part.name)
        if self._options.join_graphs:
            for exit_ in manifest.exits:
                if exit_.stage is not None:
                    self._join(captures, exit_.stage, exit_.name)
        self._stream.synchronize()
        self._runtime.cache.save()

    def _join(self, captures: Captures, stage: str, exit_: str) -> None:
        """Capture a stage with its exit; if that fails, they are launched one by one."""
        first, second = self._parts[stage].runs, self._parts[exit_].runs
        for size in bucket_sizes(self._max_batch):
            run = Run([*first[size].contexts, *second[size].contexts], second[size].copy)
            captures.prepare(run, f"{stage} with {exit_}")
            counts = [count for count in first if first[count] is first[size]]
            if run.graph is not None:
                self._joined |= {(stage, exit_, count): run for count in counts}

    def _run_part(self, name: str) -> None:
        part = self._parts[name]
        self._images.in_use |= part.reads_images
        part.runs[self._count].start(self._stream.handle)

    def _close(self, error: BaseException | None) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._free_in_context(error)
        except DeviceLostError as lost:
            logger.warning("nothing could be freed: %s", lost)
            never_free(self)

    def _free_in_context(self, error: BaseException | None) -> None:
        with self._context:
            _forget_frames(error)
            self._free()
        self._context.release()

    def _free(self) -> None:
        """Free everything in reverse order of creation; the context is current."""
        try:
            if self._stream is not None:
                self._stream.synchronize()
        except cuda.Error as error:  # of a failed run; everything must still be freed
            self._context.check_lost(error)
            if self._context.lost is not None:
                return
            logger.warning("at the end of the last run: %s", error)
        for opened in (self._joined, self._parts):  # graphs before the contexts in them
            for one in opened.values():
                one.close()
            opened.clear()
        self._runtime.close()
        self._memory.close()
        self._end = self._stream = None  # PyCUDA destroys them with their last reference


def _no_copy(size: int) -> None:
    return None


def _forget_frames(error: BaseException | None) -> None:
    """Drop references from an error's frames, such as unfinished engines, before the context."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
